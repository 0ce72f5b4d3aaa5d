//! What decides which packages an installer would install: requirement files with all that they include, and the
//! installer's own settings.
//!
//! Not what the package index has today: a requirement without a version keeps what it got until the list or the cache goes.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::lines;
use crate::image::cache::Key;

/// The key for the requirement file `list` of an app in `folder`. Nothing, if it names files or branches that may change behind
/// its back.
pub fn key(list: &Path, folder: &Path) -> Option<Key> {
    key_with(list, folder, env::vars_os())
}

fn key_with(list: &Path, folder: &Path, variables: impl Iterator<Item = (OsString, OsString)>) -> Option<Key> {
    let mut key = with_lines(Key::default(), list, folder)?;
    let mut variables: Vec<_> = variables
        .filter(|(name, _)| ["PIP_", "UV_"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())))
        .collect();
    variables.sort();
    for (name, value) in variables {
        key = key.with(name.as_encoded_bytes()).with(value.as_encoded_bytes());
        // Some name lists, as options do.
        if !["CONSTRAINT", "REQUIREMENT", "OVERRIDE"].iter().any(|kind| name.to_string_lossy().contains(kind)) {
            continue;
        }
        for list in value.to_string_lossy().split_whitespace() {
            if list.contains("://") {
                return None;
            }
            key = with_lines(key, &folder.join(list), folder)?;
        }
    }
    for file in configurations(folder) {
        // To open a pipe is to wait for who writes into it.
        let content = file.is_file().then(|| std::fs::read(file).ok()).flatten();
        key = key.with(content.unwrap_or_default());
    }
    Some(key)
}

/// The key with the lines of a list and of those that it includes.
fn with_lines(mut key: Key, list: &Path, folder: &Path) -> Option<Key> {
    for line in lines::read(list) {
        match lines::included(&line.text) {
            // An URL's content may change; a variable's value is not looked into.
            Some(name) if name.contains("://") || name.contains("${") => return None,
            Some(name) if !line.file.parent().unwrap_or(folder).join(name).is_file() => return None,
            None if changes_unseen(&line.text) => return None,
            _ => key = key.with(&line.text),
        }
    }
    Some(key)
}

/// Whether what a line stands for may change although the line does not: a folder or a file of this machine's, a branch.
fn changes_unseen(line: &str) -> bool {
    let requirement = line.split(';').next().unwrap_or_default();
    let (name, url) = match requirement.split_once('@') {
        Some((name, url)) if !name.contains("://") => (name.trim(), url.trim()),
        _ => (requirement.trim(), requirement.trim()),
    };
    if name.starts_with("--") {
        return false;
    }
    let is_path = name.starts_with(['.', '/', '~']) || name.contains('/') && !name.contains("://");
    is_path
        || name.starts_with("-e")
        || url.starts_with("file:")
        || url.contains("://") && !url.contains("#sha256=")
        || name.contains("${")
        || [".whl", ".zip", ".tar.gz"].iter().any(|end| name.ends_with(end))
}

/// Where pip and uv look for settings.
fn configurations(folder: &Path) -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let settings = env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let named = |variable| env::var_os(variable).map(PathBuf::from);
    let mut files = vec![
        PathBuf::from("/etc/pip.conf"),
        PathBuf::from("/etc/xdg/pip/pip.conf"),
        settings.join("pip/pip.conf"),
        home.join(".pip/pip.conf"),
        PathBuf::from("/etc/uv/uv.toml"),
        settings.join("uv/uv.toml"),
        folder.join("uv.toml"),
    ];
    files.extend(named("PIP_CONFIG_FILE"));
    files.extend(named("UV_CONFIG_FILE"));
    files.extend(named("VIRTUAL_ENV").map(|environment| environment.join("pip.conf")));
    files
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::key;
    use crate::image::layer::digest;

    fn key_of(folder: &std::path::Path) -> Option<String> {
        key(&folder.join("requirements.txt"), folder).map(|key| digest::of(format!("{key:?}").as_bytes()))
    }

    #[test]
    fn what_is_included_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        fs::create_dir(folder.path().join("more")).unwrap();
        write("requirements.txt", "flask>=3 # comment\n-r more/a.txt\n--constraint=pins.txt\n");
        write("more/a.txt", "-r b.txt\n");
        write("more/b.txt", "numpy \\\n  --hash=sha256:00\n-r a.txt\n");
        write("pins.txt", "numpy==1\n");
        // What is no file is not waited for.
        nix::unistd::mkfifo(&folder.path().join("uv.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let first = key_of(folder.path());
        assert!(first.is_some());
        assert_eq!(first, key_of(folder.path()));
        for name in ["more/b.txt", "pins.txt", "requirements.txt"] {
            let before = key_of(folder.path());
            let text = fs::read_to_string(folder.path().join(name)).unwrap();
            write(name, &(text + "six\n"));
            assert!(key_of(folder.path()).is_some());
            assert_ne!(before, key_of(folder.path()), "{name}");
        }
        write("pins.txt", "numpy==1\n");
        fs::remove_file(folder.path().join("more/b.txt")).unwrap();
        assert_eq!(key_of(folder.path()), None, "a file that is not there is the installer's to complain of");
    }

    #[test]
    fn lists_that_variables_name_count_and_how_a_list_is_encoded_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("requirements.txt");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let with = |name: &str, value: &str| {
            let variables = [(name.into(), value.into())].into_iter();
            super::key_with(&list, folder.path(), variables).map(|key| format!("{key:?}"))
        };
        write("requirements.txt", "redis\n");
        write("pins.txt", "redis==1\n");
        let first = with("PIP_CONSTRAINT", "pins.txt");
        assert!(first.is_some() && first != with("PIP_CONSTRAINT", ""));
        write("pins.txt", "redis==2\n");
        assert!(with("PIP_CONSTRAINT", "pins.txt").is_some_and(|second| Some(second) != first));
        assert_eq!(with("UV_CONSTRAINT", "https://example.org/pins.txt"), None);
        assert!(with("PIP_INDEX_URL", "https://example.org/simple").is_some());
        let wide = |text: &str| -> Vec<u8> {
            [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
        };
        let narrow = key_of(folder.path());
        fs::write(&list, wide("redis\r\n")).unwrap();
        assert_eq!(key_of(folder.path()), narrow);
        fs::write(&list, wide("redis\r\nflask\r\n")).unwrap();
        assert_ne!(key_of(folder.path()), narrow);
    }

    #[test]
    fn what_may_change_behind_the_list_is_not_cached() {
        let folder = tempfile::tempdir().unwrap();
        for (line, cached) in [
            ("flask[async]==3.1 ; python_version > '3.8'", true),
            ("--index-url https://example.org/simple", true),
            ("--find-links ./wheels", true),
            ("https://example.org/a-1-py3-none-any.whl#sha256=00", true),
            ("https://example.org/a-1-py3-none-any.whl", false),
            ("./shop", false),
            ("shop @ file:///src/shop", false),
            ("wheels/a-1-py3-none-any.whl", false),
            ("git+https://example.org/a.git@main", false),
            ("a @ git+https://example.org/a.git", false),
            ("-e .", false),
            ("-r https://example.org/r.txt", false),
        ] {
            fs::write(folder.path().join("requirements.txt"), line).unwrap();
            assert_eq!(key_of(folder.path()).is_some(), cached, "{line}");
        }
    }
}
