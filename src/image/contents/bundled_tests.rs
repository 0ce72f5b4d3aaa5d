//! The tests that packages bring along, which nobody runs in a container: often a third of what they install.
//!
//! They are told by their folder's name and by files that pytest or unittest would take. Where a package itself imports
//! something from such a folder, all of its own stay: some keep there what they need to run.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use crate::{exit::Fatal, image::job::disk};

const NAMES: [&str; 2] = ["tests", "test"];

/// The folders of tests among `files` (path below the packages' folder, path on disk) that nothing else needs.
pub fn folders<'a>(files: impl Iterator<Item = (&'a Path, &'a Path)>) -> Result<BTreeSet<PathBuf>, Fatal> {
    let files: Vec<_> = files.collect();
    let mut found: BTreeSet<_> =
        files.iter().filter(|(path, _)| is_test(path)).filter_map(|(path, _)| folder_of(path)).collect();
    let mut needed = BTreeSet::new();
    for (path, file) in &files {
        let is_source = path.extension().is_some_and(|extension| extension == "py");
        // pytest alone reads the one, and the others may import each other.
        if !is_source || path.ends_with("conftest.py") || folder_of(path).is_some_and(|folder| found.contains(&folder))
        {
            continue;
        }
        let source = fs_err::read(file).map_err(|error| disk::failed("read the dependencies", &error))?;
        let imported = imported_from_tests(&String::from_utf8_lossy(&source));
        if !imported.is_empty() {
            needed.insert(top(path));
            needed.extend(imported);
        }
    }
    found.retain(|folder| !needed.contains(&top(folder)));
    Ok(found)
}

/// The folder of tests that a file is in, the outermost of them.
pub fn folder_of(path: &Path) -> Option<PathBuf> {
    let folders: Vec<_> = path.parent()?.ancestors().collect();
    folders.into_iter().rev().find(|folder| NAMES.iter().any(|name| folder.ends_with(name))).map(Path::to_owned)
}

fn is_test(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".py"))
        .is_some_and(|name| name.starts_with("test_") || name.ends_with("_test"))
}

/// The packages whose tests a source imports from.
fn imported_from_tests(source: &str) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    for line in source.lines().filter(|line| line.contains("test")).map(str::trim_start) {
        if !(line.starts_with("from ") || line.starts_with("import ") || line.contains("import_")) {
            continue;
        }
        for name in line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')) {
            if name.split('.').any(|part| NAMES.contains(&part)) {
                packages.insert(name.split('.').next().unwrap_or_default().to_owned());
            }
        }
    }
    packages
}

fn top(path: &Path) -> String {
    path.iter().next().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use super::folders;

    #[test]
    fn tests_go_unless_something_needs_them() {
        let place = tempfile::tempdir().unwrap();
        let files = [
            ("plain/__init__.py", "import os"),
            ("plain/tests/__init__.py", ""),
            ("plain/tests/data/x.csv", ""),
            ("plain/tests/test_a.py", "from plain.tests import x"),
            ("plain/sub/test/more/b_test.py", ""),
            ("own/__init__.py", "def run():\n    from .tests.runner import run\n"),
            ("own/tests/test_a.py", ""),
            ("lent/tests/test_a.py", ""),
            ("user/core.py", "from lent.tests.base import Base"),
            ("named/tests/__init__.py", "is no test"),
            ("named/tests.py", ""),
            ("pytest_only/conftest.py", "from pytest_only.tests import x"),
            ("pytest_only/tests/test_a.py", ""),
        ];
        let mut paths = Vec::new();
        for (path, content) in files {
            let file = place.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(&file, content).unwrap();
            paths.push((PathBuf::from(path), file));
        }
        let found = folders(paths.iter().map(|(path, file)| (path.as_path(), file.as_path()))).unwrap();
        let expected = ["plain/sub/test", "plain/tests", "pytest_only/tests"].map(PathBuf::from);
        assert_eq!(found, BTreeSet::from(expected));
    }
}
