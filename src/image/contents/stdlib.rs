//! The standard library in an image: byte code alone, most of it in one archive.
//!
//! Nobody reads or changes its sources in a container; tracebacks name its files and lines without them. What every Flask app
//! loads lies beside one another, the rest is packed: it takes a third of the room, and is as quick to find. Sources that are
//! kept, and packages with files of other kinds, are files as they are in an installation.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    exit::Fatal,
    image::{
        contents::{kept::Kept, tree},
        elf::{Loader, is_elf},
        filter::ignore::Patterns,
        interpreter::{Interpreter, Sources},
        job::{disk, progress::Cancel},
        layer::Contents,
    },
};

const IGNORE: &str = include_str!("../../../images/stdlib.ignore");
const LOOSE: &str = include_str!("../../../images/stdlib.loose");
/// Modules in Python, each loaded only where the compiled one is missing that does the same.
const SUBSTITUTES: [(&str, &str); 3] = [("_pydatetime", "_datetime"), ("_pydecimal", "_decimal"), ("_pyio", "_io")];
/// Packages are a layer of their own; byte code is compiled anew, for the paths in the image.
const NEVER: &str = "site-packages\ndist-packages\n**/__pycache__\n**/*.pyc\n";

/// The names of the standard library's modules, without packages before them and what is below them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Modules {
    /// Those that are in the image.
    pub shipped: BTreeSet<String>,
    /// Those that are installed here and stay out.
    pub left_out: BTreeSet<String>,
}

/// Adds the standard library, and returns its modules and, as files on this machine, those of them that are ELF.
pub fn add(
    contents: &mut Contents,
    interpreter: &Interpreter,
    loader: Loader,
    kept: &Kept,
    work: &Path,
    cancel: &Cancel,
) -> Result<(Modules, Vec<PathBuf>), Fatal> {
    let facts = &interpreter.facts;
    let place = facts.standard_library();
    let ignored = kept.left_out(IGNORE, NEVER);
    let mut library = Contents::default();
    tree::add_whole(&mut library, &place, &facts.stdlib, &ignored)?;
    if !facts.extensions.starts_with(&facts.stdlib) {
        let place = place.join("lib-dynload");
        tree::add_whole(&mut library, &place, &facts.extensions, &ignored)?;
    }
    contents.depend_like(&library);
    let named = kept.patterns();
    leave_out_substitutes(&mut library, &place, &facts.builtins, &named);
    let modules = modules(&library, &place, interpreter)?;
    let keeps = |path: &Path| kept.debug || named.matches(&within(path, &place).to_string_lossy());
    let (mut absent, mut fixed, mut extensions) = (Vec::new(), Vec::new(), Vec::new());
    for (path, file) in library.files() {
        if has_extension(path, "so") && is_elf(file) {
            extensions.push(file.to_owned());
            loader.add(contents, path.to_owned(), file, false)?;
        } else if has_extension(path, "py") && !keeps(path) {
            absent.push((path, file));
        } else {
            contents.file(path, file, false);
            if has_extension(path, "py") {
                fixed.push((path, file));
            }
        }
    }
    for (path, byte_code) in compile(interpreter, fixed, Sources::Fixed, work, cancel)? {
        contents.file(interpreter.byte_code(&path, Sources::Fixed).unwrap_or_default(), byte_code, false);
    }
    let mixed: BTreeSet<_> = contents.files().map(|(path, _)| top(within(path, &place))).collect();
    let archive = facts.archive_place();
    let mut packed = Vec::new();
    for (path, byte_code) in compile(interpreter, absent, Sources::Absent, work, cancel)? {
        let path = path.with_extension("pyc");
        let name = within(&path, &place);
        if archive.is_none() || is_loose(&top(name)) || mixed.contains(&top(name)) {
            contents.file(path, byte_code, false);
        } else {
            packed.push((name.to_string_lossy().into_owned(), byte_code));
        }
    }
    if let Some(archive) = archive.filter(|_| !packed.is_empty()) {
        let made = work.join("standard-library.zip");
        interpreter.pack(&packed, &made, cancel)?;
        contents.file(archive, made, false);
    }
    Ok((modules, extensions))
}

/// Takes out what is loaded only where a compiled module is missing which is there.
fn leave_out_substitutes(library: &mut Contents, place: &Path, builtins: &[String], named: &Patterns) {
    let extensions = place.join("lib-dynload");
    let there: BTreeSet<_> =
        library.files().filter_map(|(path, _)| path.strip_prefix(&extensions).ok()).map(top).collect();
    let is_there = |module: &str| there.contains(module) || builtins.iter().any(|builtin| builtin == module);
    for (substitute, _) in SUBSTITUTES.iter().filter(|(_, compiled)| is_there(compiled)) {
        let file = format!("{substitute}.py");
        if !named.matches(&file) {
            library.remove(&place.join(file));
        }
    }
}

fn modules(library: &Contents, place: &Path, interpreter: &Interpreter) -> Result<Modules, Fatal> {
    let facts = &interpreter.facts;
    let mut shipped: BTreeSet<_> = facts.builtins.iter().cloned().collect();
    // Frozen into the interpreter under these names.
    shipped.extend(["_frozen_importlib", "_frozen_importlib_external"].map(str::to_owned));
    for (path, _) in library.files() {
        let path = within(path, place);
        shipped.insert(top(path.strip_prefix("lib-dynload").unwrap_or(path)));
    }
    let mut left_out = BTreeSet::new();
    for folder in [&facts.stdlib, &facts.extensions] {
        let failed = |error| disk::failed("list the standard library", &error);
        for entry in fs_err::read_dir(folder).map_err(failed)? {
            let name = top(entry.map_err(failed)?.file_name().as_ref());
            // A folder of other files is no module's.
            if !name.contains('-') && !shipped.contains(&name) {
                left_out.insert(name);
            }
        }
    }
    Ok(Modules { shipped, left_out })
}

fn compile(
    interpreter: &Interpreter,
    files: Vec<(&Path, &Path)>,
    fate: Sources,
    work: &Path,
    cancel: &Cancel,
) -> Result<Vec<(PathBuf, PathBuf)>, Fatal> {
    let into = work.join(format!("byte-code-{fate:?}"));
    fs_err::create_dir_all(&into).map_err(|error| disk::failed("compile the standard library", &error))?;
    interpreter.compile(files.into_iter(), fate, &into, cancel)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn within<'a>(path: &'a Path, place: &Path) -> &'a Path {
    path.strip_prefix(place).unwrap_or(path)
}

/// The module that a file belongs to, without the packages and modules below it.
fn top(path: &Path) -> String {
    let first = path.iter().next().unwrap_or_default().to_string_lossy().into_owned();
    first.split_once('.').map_or(first.clone(), |(module, _)| module.to_owned())
}

fn is_loose(module: &str) -> bool {
    LOOSE.lines().any(|line| line == module)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{IGNORE, NEVER, is_loose, leave_out_substitutes, top};
    use crate::image::contents::kept::Kept;
    use crate::image::layer::Contents;

    #[test]
    fn a_substitute_goes_along_where_the_compiled_module_is_missing_or_it_is_kept() {
        let place = Path::new("lib/python3");
        let left = |compiled: &[&str], keep: &[&str]| {
            let mut library = Contents::default();
            for file in ["_pyio.py", "_pydecimal.py", "os.py"].iter().chain(compiled) {
                library.file(place.join(file), "/dev/null", false);
            }
            let keep: Vec<_> = keep.iter().map(|&pattern| pattern.to_owned()).collect();
            let kept = Kept::new(&keep, false, false);
            leave_out_substitutes(&mut library, place, &["_io".to_owned()], &kept.patterns());
            ["_pyio.py", "_pydecimal.py", "os.py"].map(|file| library.contains(place.join(file)))
        };
        assert_eq!(left(&[], &[]), [false, true, true]);
        assert_eq!(left(&["lib-dynload/_decimal.cpython-311.so"], &[]), [false, false, true]);
        assert_eq!(left(&["lib-dynload/_decimal.cpython-311.so"], &["_py*"]), [true, true, true]);
    }

    #[test]
    fn the_lists_can_be_read() {
        let stdlib = Kept::default().left_out(IGNORE, NEVER);
        for path in
            ["test/support/__init__.py", "json/tests/x.py", "idlelib", "lib-dynload/_dbm.cpython-311.so", "x.pyc"]
        {
            assert!(stdlib.matches(path), "{path}");
        }
        for path in ["unittest/mock.py", "os.py", "lib-dynload/_ssl.cpython-311.so", "json/decoder.py"] {
            assert!(!stdlib.matches(path), "{path}");
        }
        assert!(is_loose("os") && is_loose("json") && !is_loose("asyncio") && !is_loose("# The"));
    }

    #[test]
    fn files_belong_to_the_module_at_the_top() {
        for (path, module) in [("os.py", "os"), ("json/decoder.pyc", "json"), ("LICENSE.txt", "LICENSE"), ("a", "a")] {
            assert_eq!(top(path.as_ref()), module);
        }
    }
}
