//! What decides which packages an installer would install: requirement files with all that they include, and the
//! installer's own settings.
//!
//! Not what the package index has today: a requirement without a version keeps what it got until the list or the cache goes.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

use super::lines;
use crate::image::{cache::Key, layer::inputs::Inputs, project::pyproject};

/// A file of uv's settings.
const UV: &str = "uv.toml";

/// The key for the requirement file `list` of an app in `folder`. Nothing, if it names files, folders or branches that may
/// change behind its back. pip is that of the Python at `prefix`.
pub fn key(list: &Path, folder: &Path, prefix: &Path) -> Option<Key> {
    key_with(list, (folder, prefix), env::vars_os())
}

fn key_with(
    list: &Path,
    (folder, prefix): (&Path, &Path),
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Option<Key> {
    let mut parts = Parts::default();
    parts.add_lines(list, folder)?;
    let mut variables: Vec<_> = variables
        .filter(|(name, _)| ["PIP_", "UV_"].iter().any(|start| name.as_encoded_bytes().starts_with(start.as_bytes())))
        .collect();
    variables.sort();
    for (name, value) in variables {
        parts.add_settings(&format!("{}={}", name.to_string_lossy(), value.to_string_lossy()), [folder; 2])?;
        // Some name lists, as options do.
        if !["CONSTRAINT", "REQUIREMENT", "OVERRIDE"].iter().any(|kind| name.to_string_lossy().contains(kind)) {
            continue;
        }
        for list in value.to_string_lossy().split_whitespace() {
            if list.contains("://") {
                return None;
            }
            parts.add_lines(&folder.join(list), folder)?;
        }
    }
    for file in configurations(folder, prefix) {
        let settings = text(&file).unwrap_or_default();
        if is_pips(&file) && settings.lines().any(names_a_list) {
            return None;
        }
        parts.add_settings(&settings, [folder, file.parent().unwrap_or(folder)])?;
    }
    // uv takes the nearest.
    for above in folder.ancestors() {
        let settings = [table(&above.join(UV), &[]), table(&above.join(pyproject::FILE), &["tool", "uv"])];
        settings.iter().flatten().try_for_each(|settings| parts.add_settings(settings, [folder, above]))?;
    }
    Some(parts.0)
}

/// What goes into a key.
#[derive(Default)]
struct Parts(Key);

impl Parts {
    fn add(&mut self, text: &str) {
        self.0 = std::mem::take(&mut self.0).with(text);
    }

    /// Adds settings, with what is in the folders that they have packages looked for in, whose names are relative to one of `bases`.
    /// A file may lead anywhere.
    fn add_settings(&mut self, text: &str, bases: [&Path; 2]) -> Option<()> {
        // In pip's files, what is indented belongs to the line before.
        let joined = text.replace("\n ", " ").replace("\n\t", " ");
        let mut found = Inputs::default();
        for name in joined.lines().flat_map(places_here) {
            if name.starts_with('~') || name.contains('$') || name.contains("file:") {
                return None;
            }
            for place in bases.map(|base| base.join(name)) {
                if place.is_file() {
                    return None;
                }
                found.add(&place);
                // An index has a folder for each package.
                let below = WalkDir::new(&place).min_depth(1).max_depth(2).into_iter().filter_map(Result::ok);
                below.for_each(|entry| found.add(entry.path()));
            }
        }
        self.add(text);
        self.0 = std::mem::take(&mut self.0).with(found.to_bytes());
        found.are_settled().then_some(())
    }

    /// Adds the lines of a list and of those that it includes.
    fn add_lines(&mut self, list: &Path, folder: &Path) -> Option<()> {
        for line in lines::read(list) {
            match lines::included(&line.text) {
                // An URL's content may change; a variable's value is not looked into.
                Some(name) if name.contains("://") || name.contains("${") => return None,
                Some(name) if !line.file.parent().unwrap_or(folder).join(name).is_file() => return None,
                None if changes_unseen(&line.text) => return None,
                _ if line.text.starts_with('-') => {
                    self.add_settings(&line.text, [folder, line.file.parent().unwrap_or(folder)])?;
                }
                _ => self.add(&line.text),
            }
        }
        Some(())
    }
}

/// The folders and indexes of this machine's in which an option, a variable or a setting says to look for packages. Rather one too
/// many.
fn places_here(line: &str) -> Vec<&str> {
    let is_here = |word: &&str| !word.is_empty() && (!word.contains("://") || word.contains("file:"));
    // Each of these may have a name before its address.
    if let Some(indexes) = ["UV_INDEX=", "UV_DEFAULT_INDEX="].iter().find_map(|name| line.strip_prefix(name)) {
        return indexes.split_whitespace().filter(is_here).collect();
    }
    if line.starts_with(['#', ';']) {
        return Vec::new();
    }
    let is_between = |c: char| c.is_whitespace() || "=,\"'[]{}".contains(c);
    let mut may_be_place = false;
    let places = line.split(is_between).filter_map(|word| {
        // The value of a short option may stick to it.
        if let Some(value) = ["-f", "-i"].iter().find_map(|option| word.strip_prefix(option)) {
            may_be_place = true;
            return Some(value);
        }
        let name = word.trim_end_matches(':').to_ascii_lowercase().replace('_', "-");
        let names_places = !name.contains('/') && (name.contains("find-links") || name.ends_with("url"));
        if names_places || word.starts_with('-') {
            may_be_place = names_places;
            return None;
        }
        may_be_place.then_some(word)
    });
    places.filter(is_here).collect()
}

/// The text of a file, if it is one: to open a pipe is to wait for who writes into it.
fn text(file: &Path) -> Option<String> {
    let content = file.is_file().then(|| std::fs::read(file).ok()).flatten()?;
    Some(String::from_utf8_lossy(&content).into_owned())
}

/// A table of a file, by the names that lead there, as text that is the same however it is laid out. What is no TOML goes in as
/// it is.
fn table(file: &Path, names: &[&str]) -> Option<String> {
    let text = text(file)?;
    let Ok(document) = text.parse::<toml::Table>() else { return Some(text) };
    let inner = names.iter().try_fold(&document, |table, name| table.get(*name)?.as_table())?;
    Some(inner.to_string())
}

/// Whether a file is one of pip's.
fn is_pips(file: &Path) -> bool {
    file.extension().is_none_or(|extension| extension != "toml")
}

/// Whether a line of pip's settings names a list of requirements, whose lines would count too.
fn names_a_list(line: &str) -> bool {
    let name = line.split(['=', ':']).next().unwrap_or_default().trim();
    ["constraint", "requirement"].contains(&name)
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

/// Where pip, of the Python at `prefix`, and uv look for settings that are not a project's.
fn configurations(folder: &Path, prefix: &Path) -> Vec<PathBuf> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let settings = env::var_os("XDG_CONFIG_HOME").map_or_else(|| home.join(".config"), PathBuf::from);
    let everyones = env::var_os("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
    // From where they run, which is the app's folder.
    let named = |variable| env::var_os(variable).map(|file| folder.join(file));
    let mut files: Vec<_> =
        env::split_paths(&everyones).flat_map(|place| [place.join("pip/pip.conf"), place.join("uv/uv.toml")]).collect();
    files.extend([
        PathBuf::from("/etc/pip.conf"),
        settings.join("pip/pip.conf"),
        home.join(".pip/pip.conf"),
        prefix.join("pip.conf"),
        PathBuf::from("/etc/uv/uv.toml"),
        settings.join("uv/uv.toml"),
    ]);
    files.extend(named("PIP_CONFIG_FILE"));
    files.extend(named("UV_CONFIG_FILE"));
    files.extend(named("VIRTUAL_ENV").map(|environment| environment.join("pip.conf")));
    files
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::key;
    use crate::image::layer::digest;

    fn key_of(folder: &std::path::Path) -> Option<String> {
        key(&folder.join("requirements.txt"), folder, Path::new("/nonexistent"))
            .map(|key| digest::of(format!("{key:?}").as_bytes()))
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
            super::key_with(&list, (folder.path(), Path::new("/nonexistent")), variables).map(|key| format!("{key:?}"))
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
    fn a_list_is_the_same_in_any_folder() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let key = |name: &str, text: &str| {
            let [one, other] = [&one, &other].map(|folder| {
                fs::write(folder.path().join(name), text).unwrap();
                key_of(folder.path()).unwrap()
            });
            assert_eq!(one, other, "{text}");
            one
        };
        key("requirements.txt", "urllib3==2.2.1\nfurl>=2 --hash=sha256:00\n");
        key("requirements.txt", "flask\n--index-url=https://example.org/simple --pre\n");
        let first = key("requirements.txt", "flask\n");
        assert_eq!(key("pyproject.toml", "[tool.other]\nx = 1\n"), first);
        assert_ne!(key("pyproject.toml", "[tool.uv]\noverride-dependencies = ['click<9']\n"), first);
        key("pyproject.toml", "");
        assert_ne!(key("uv.toml", "index-url = 'https://example.org/simple'\n"), first);
    }

    #[test]
    fn where_packages_are_looked_for_on_this_machine_is_told() {
        for (setting, places) in [
            ("--find-links ./wheels", &["./wheels"][..]),
            ("--find-links=~/wheels", &["~/wheels"]),
            ("--only-binary :all: -f /opt/Wheels --pre", &["/opt/Wheels"]),
            ("-fwheels", &["wheels"]),
            ("--index-url=./index", &["./index"]),
            ("-i file:///srv/index", &["file:///srv/index"]),
            ("-fhttps://example.org/url --trusted-host example.org", &[]),
            ("PIP_FIND_LINKS=/opt/a /opt/b", &["/opt/a", "/opt/b"]),
            ("PIP_EXTRA_INDEX_URL=https://example.org/simple ../index", &["../index"]),
            ("PIP_INDEX_URL=", &[]),
            ("UV_INDEX=ours=https://example.org/simple?a=b", &[]),
            ("UV_DEFAULT_INDEX=../index", &["../index"]),
            ("find-links = [\"https://example.org\", \"wheels\"]", &["wheels"]),
            ("index-url: /srv/index", &["/srv/index"]),
            ("furl", &[]),
            ("# find-links = /opt/wheels", &[]),
        ] {
            assert_eq!(super::places_here(setting), places, "{setting}");
        }
    }

    #[test]
    fn what_is_in_a_folder_of_packages_counts() {
        let [folder, wheels] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let settled = |settings: &str| {
            // What has just been changed may be once more, unnoticed.
            let tries = std::iter::repeat_with(|| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                let mut parts = super::Parts::default();
                parts.add_settings(settings, [folder.path(), wheels.path()]).map(|()| format!("{:?}", parts.0))
            });
            tries.take(500).find_map(|key| key).unwrap()
        };
        let named =
            format!("[global]\r\nfind-links =\r\n    https://example.org\r\n    {}\r\n", wheels.path().display());
        for settings in [named.as_str(), "--find-links ./", "url = \".\""] {
            let first = settled(settings);
            fs::create_dir(wheels.path().join("six")).unwrap();
            let other = settled(settings);
            fs::write(wheels.path().join("six/six-1-py3-none-any.whl"), "").unwrap();
            let one = settled(settings);
            fs::write(wheels.path().join("six/six-1-py3-none-any.whl"), "other").unwrap();
            let changed = settled(settings);
            assert!(first != other && other != one && one != changed && changed == settled(settings), "{settings}");
            fs::remove_dir_all(wheels.path().join("six")).unwrap();
        }
        let page = wheels.path().join("links.html");
        fs::write(&page, "").unwrap();
        for (name, text) in [
            ("requirements.txt", "--find-links ~/wheels\n"),
            ("requirements.txt", &format!("--find-links {}\n", page.display())),
            ("pyproject.toml", "[[tool.uv.index]]\nurl = 'file:///srv/index'\n"),
            ("uv.toml", "find-links = [\n  '${HOME}',\n]\n"),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
            assert_eq!(key_of(folder.path()), None, "{text}");
            fs::write(folder.path().join(name), "").unwrap();
        }
        assert!(key_of(folder.path()).is_some());
    }

    #[test]
    fn what_may_change_behind_the_list_is_not_cached() {
        let folder = tempfile::tempdir().unwrap();
        for (line, cached) in [
            ("flask[async]==3.1 ; python_version > '3.8'", true),
            ("--index-url https://example.org/simple", true),
            ("--find-links file:///wheels", false),
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
