//! Paths that an environment has written down: `.pth` files (the module `site`), and the modules of editable installs.
//! Those of the app's own folder lead to `/app` in the image; others would lead nowhere.

use std::path::{Path, PathBuf};

use crate::exit::Fatal;

/// Where the app's folder is in an image.
const APP: &str = "/app";

/// Whether a file of an editable install is a module that its build has made, with paths in it: all that are directly among the
/// packages, whatever each backend calls its own.
pub fn is_finder(name: &Path) -> bool {
    name.components().count() == 1 && name.extension().is_some_and(|extension| extension == "py")
}

/// The first path in a module that leads somewhere on this machine, and not to where the app is in an image.
pub fn leads_out(text: &str) -> Option<&Path> {
    let words = text.split(['"', '\'']).map(Path::new);
    words.into_iter().find(|path| {
        let is_path = path.is_absolute() && path.components().count() > 2;
        is_path && !path.starts_with(APP) && path.exists()
    })
}

/// Whether a `.pth` has a line that is run.
pub fn runs_code(text: &str) -> bool {
    text.lines().any(is_code)
}

fn is_code(line: &str) -> bool {
    line.starts_with("import ") || line.starts_with("import\t")
}

/// The text of the `.pth` in `file` for the image.
///
/// # Errors
/// A path leads out of the packages and the app's folder.
pub fn translate(text: &str, file: &Path, folder: &Path) -> Result<String, Fatal> {
    let packages = file.parent().unwrap_or(Path::new(""));
    let mut translated = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let path = line.trim_end();
        let absolute: PathBuf = packages.join(path);
        let absolute = absolute.canonicalize().unwrap_or(absolute);
        if path.is_empty() || path.starts_with('#') || is_code(line) || !absolute.exists() {
            // Python itself passes over what does not exist.
            translated.push_str(&replace(line, folder));
        } else if let Ok(inner) = absolute.strip_prefix(folder).map(|inner| Path::new(APP).join(inner))
            && !absolute.starts_with(packages)
        {
            translated.push_str(inner.to_string_lossy().trim_end_matches('/'));
        } else if absolute.starts_with(packages) {
            translated.push_str(&absolute.strip_prefix(packages).unwrap_or(&absolute).to_string_lossy());
        } else {
            return Err(Fatal::new(format!(
                "Line {number} of {} leads to {path}, which is not in the app's folder and would stay on this machine. \
                 Install what is there as a package, or remove the line.",
                file.display()
            )));
        }
        translated.push('\n');
    }
    Ok(translated)
}

/// A text in which the app's folder is `/app`.
pub fn replace(text: &str, folder: &Path) -> String {
    let Some(name) = folder.to_str().filter(|name| name.len() > 1) else { return text.to_owned() };
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let behind = &rest[at + name.len()..];
        replaced.push_str(&rest[..at]);
        // Another folder's name may begin like this one's.
        let is_whole = !behind.starts_with(|c: char| c.is_alphanumeric() || "_-.".contains(c));
        replaced.push_str(if is_whole { APP } else { name });
        rest = behind;
    }
    replaced + rest
}

/// Whether a `pyvenv.cfg` lets the system's packages in.
pub fn has_system_packages(configuration: &str) -> bool {
    configuration
        .lines()
        .filter_map(|line| line.split_once('='))
        .any(|(name, value)| name.trim() == "include-system-site-packages" && value.trim().eq_ignore_ascii_case("true"))
}
