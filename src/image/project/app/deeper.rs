//! Apps in folders where none is looked for, to name them where none was found.

use std::path::{Path, PathBuf};

use super::{SOURCES, candidates::Sources};
use crate::{
    exit::Fatal,
    image::{cache::Cache, interpreter::Interpreter, job::progress::Cancel},
};

/// More files than these are not looked into, nor told of.
const MOST: usize = 64;
const MOST_TOLD: usize = 3;

/// What there is further down, and what to do, as sentences.
pub fn found(folder: &Path, interpreter: &Interpreter, cache: &Cache, cancel: &Cancel) -> Result<String, Fatal> {
    let files: Vec<_> = files(folder).take(MOST).collect();
    let sources = Sources::look(folder, files.clone(), interpreter, cache, cancel)?;
    let apps = sources.all();
    // What lies in the folder of sources is imported from there.
    let spec =
        |spec: &str| spec.strip_prefix(SOURCES).and_then(|rest| rest.strip_prefix('.')).unwrap_or(spec).to_owned();
    let list: Vec<_> = apps.iter().take(MOST_TOLD).map(|(name, why)| format!("{} ({why})", spec(name))).collect();
    if let Some((first, _)) = apps.first() {
        return Ok(format!(" Further down there is {}. Name it: --app '{}'.", list.join(", "), spec(first)));
    }
    if let Some(asgi) = sources.asgi() {
        return Ok(format!(" Further down, {asgi}"));
    }
    let some: Vec<_> = files.iter().take(MOST_TOLD).map(|file| file.display().to_string()).collect();
    let some = if some.is_empty() { String::new() } else { format!(" Further down there is {}.", some.join(", ")) };
    Ok(format!("{some} Name it with --app MODULE:NAME, for example --app app:app."))
}

/// The Python files in folders, by their paths in `folder`, whose names are those of modules.
fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let is_looked_at = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let is_other = name == "tests" || name == "node_modules" || entry.path().join("pyvenv.cfg").exists();
        !is_other && !name.starts_with(['.', '_'])
    };
    let is_module = |path: &Path| path.iter().all(|name| !name.to_string_lossy().contains(['-', ' ']));
    let files = walkdir::WalkDir::new(folder).min_depth(1).max_depth(4).sort_by_file_name().into_iter();
    let files = files.filter_entry(is_looked_at).filter_map(Result::ok).filter(|entry| entry.depth() > 1);
    let python =
        files.filter(|entry| entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "py"));
    let files = python.filter_map(move |entry| Some(entry.path().strip_prefix(folder).ok()?.to_owned()));
    files.filter(move |path| is_module(path))
}
