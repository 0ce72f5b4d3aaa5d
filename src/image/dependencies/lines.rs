//! Requirement files, line by line, with all that they include; and which line it was that asked for something.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;

use crate::image::filter::{secrets::without_passwords, text::decode};

/// A line that is more than a comment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// The file.
    pub file: PathBuf,
    /// Its number, from 1; the first one's where it goes over several.
    pub number: usize,
    /// Without comments.
    pub text: String,
}

impl Line {
    /// Where it is, for messages, in a list of `folder`.
    pub fn shown(&self, folder: &Path) -> String {
        format!("Line {} of {}", self.number, self.file.strip_prefix(folder).unwrap_or(&self.file).display())
    }
}

/// All lines of a file and of those that it includes, whose relative names are relative to the file's own folder. What is
/// included and cannot be read here is missing.
pub fn read(list: &Path) -> Vec<Line> {
    let (mut lines, mut seen) = (Vec::new(), BTreeSet::new());
    add(&list.canonicalize().unwrap_or_else(|_| list.to_owned()), &mut lines, &mut seen);
    lines
}

fn add(list: &Path, lines: &mut Vec<Line>, seen: &mut BTreeSet<PathBuf>) {
    if !seen.insert(list.to_owned()) || !list.is_file() {
        return;
    }
    let Ok(bytes) = std::fs::read(list) else { return };
    let text = decode(&bytes);
    for line in of_text(list, &text) {
        let included = included(&line.text).map(|name| list.parent().unwrap_or(Path::new("")).join(name));
        lines.push(line);
        if let Some(file) = included {
            // Two names of one file would otherwise include each other for ever.
            add(&file.canonicalize().unwrap_or(file), lines, seen);
        }
    }
}

fn of_text(file: &Path, text: &str) -> Vec<Line> {
    let (mut lines, mut begun) = (Vec::new(), None::<(usize, String)>);
    for (number, line) in (1..).zip(text.lines()) {
        // A line may go on in the next one, unless it is a comment, which ends what it stands in.
        let may_go_on = Some(line).filter(|line| !line.trim_start().starts_with('#'));
        let (goes_on, part) =
            may_go_on.and_then(|line| line.strip_suffix('\\')).map_or((false, line), |part| (true, part));
        let (first, mut whole) = begun.take().unwrap_or((number, String::new()));
        whole.push_str(part);
        if goes_on {
            whole.push(' ');
            begun = Some((first, whole));
        } else {
            push(&mut lines, file, first, &whole);
        }
    }
    if let Some((first, whole)) = begun {
        push(&mut lines, file, first, &whole);
    }
    lines
}

fn push(lines: &mut Vec<Line>, file: &Path, number: usize, text: &str) {
    let text = text.split(" #").next().unwrap_or_default().trim();
    if !text.is_empty() && !text.starts_with('#') {
        lines.push(Line { file: file.to_owned(), number, text: text.to_owned() });
    }
}

/// The file that a line includes.
pub fn included(line: &str) -> Option<&str> {
    let rest = ["--requirement", "--constraint", "-r", "-c"].iter().find_map(|option| line.strip_prefix(option))?;
    Some(rest.trim_start_matches(['=', ' ', '\t']).trim())
}

/// The folder of this machine's that a line asks to be installed; `folder` is what it may be relative to.
pub fn local_folder(line: &str, folder: &Path) -> Option<PathBuf> {
    let requirement = line.split(" ;").next().unwrap_or_default();
    let place = match requirement.split_once('@') {
        Some((name, place)) if !name.contains(['/', ':']) => place.trim(),
        _ => requirement.trim(),
    };
    let (place, is_path) = match place.strip_prefix("file:") {
        Some(url) => (percent_decode_str(url.strip_prefix("//").unwrap_or(url)).decode_utf8_lossy(), true),
        None => (place.into(), place.starts_with('.') || place.contains('/')),
    };
    // With extras, as in ./shop[redis].
    let place = place.split('[').next().unwrap_or_default();
    Some(folder.join(place)).filter(|path| is_path && path.is_dir())
}

/// The folder, file or address that a line asks for, if it is for `package` as far as the line tells.
pub fn place_of(line: &str, package: &str) -> Option<String> {
    let requirement = line.split(" ;").next().unwrap_or_default().trim();
    let (named, place) = match requirement.split_once('@') {
        Some((name, place)) if !name.contains(['/', ':']) => (name.trim(), place.trim()),
        _ => ("", requirement),
    };
    if requirement.starts_with('-') || !(place.starts_with('.') || place.contains('/')) {
        return None;
    }
    let egg = place.split_once("#egg=").map(|(_, egg)| egg);
    let path = place.split(['#', '[']).next().unwrap_or_default().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let last = last.split('@').next().unwrap_or_default().trim_end_matches(".git");
    // Files have a version behind the name.
    let is_so_called = |text: &str| {
        let (text, package) = (name(text), name(package));
        text == package || text.strip_prefix(&package).is_some_and(|rest| rest.starts_with('-'))
    };
    [Some(named), egg, Some(last)].into_iter().flatten().any(is_so_called).then(|| requirement.to_owned())
}

/// Whether a line asks for `wanted`, a package's name, a requirement, or an address without passwords.
pub fn asks_for(line: &str, wanted: &str) -> bool {
    if wanted.contains("://") {
        return without_passwords(line).contains(&without_passwords(wanted));
    }
    let wanted_name = name(wanted);
    line == wanted || !line.starts_with('-') && !wanted_name.is_empty() && name(line) == wanted_name
}

/// The line that asks for `wanted`, a requirement or a package's name.
pub fn asking_for<'a>(lines: &'a [Line], wanted: &str) -> Option<&'a Line> {
    let dense = |text: &str| text.split_whitespace().collect::<String>();
    let exact = dense(wanted);
    let same = lines.iter().find(|line| dense(&line.text) == exact);
    same.or_else(|| lines.iter().find(|line| asks_for(&line.text, wanted)))
}

/// A requirement without its marker, and that (dependency specifiers, PEP 508: behind an address only after a space).
pub fn marker(requirement: &str) -> (&str, Option<&str>) {
    let sign = if requirement.contains("://") { " ;" } else { ";" };
    let (wanted, marker) = requirement.split_once(sign).map_or((requirement, None), |(it, marker)| (it, Some(marker)));
    (wanted.trim(), marker.map(str::trim))
}

/// The extras of a requirement: a and b in `flask[a, b]>=3`.
pub fn extras(requirement: &str) -> impl Iterator<Item = &str> {
    let within =
        requirement.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("", |(extras, _)| extras);
    within.split(',').map(str::trim).filter(|extra| !extra.is_empty())
}

/// A requirement's name, as the index compares them: `Flask_SQLAlchemy>=3` and `flask-sqlalchemy` are one.
pub fn name(requirement: &str) -> String {
    let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    let name = requirement[..end.unwrap_or(requirement.len())].to_ascii_lowercase().replace(['_', '.'], "-");
    let parts: Vec<_> = name.split('-').filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{asking_for, local_folder, name, of_text, place_of, read};

    #[test]
    fn lines_keep_their_numbers() {
        let text = "# comment\nflask>=3 # web\n\nnumpy \\\n  --hash=sha256:00 \\\n  --hash=sha256:01\r\nredis";
        let lines = of_text(Path::new("r.txt"), text);
        let found: Vec<_> = lines.iter().map(|line| (line.number, line.text.as_str())).collect();
        let hashed = "numpy    --hash=sha256:00    --hash=sha256:01";
        assert_eq!(found, [(2, "flask>=3"), (4, hashed), (7, "redis")]);
    }

    #[test]
    fn a_comment_does_not_go_on() {
        let lines = of_text(Path::new("r.txt"), "# C:\\ours\\\nflask\nnumpy \\\n  # why\\\nredis\n");
        let found: Vec<_> = lines.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(found, [(2, "flask"), (3, "numpy"), (5, "redis")]);
    }

    #[test]
    fn a_folder_to_install_is_told_from_packages() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("shop @ file://{}/a%20b", folder.path().display());
        std::fs::create_dir_all(folder.path().join("libs/shop")).unwrap();
        std::fs::create_dir_all(folder.path().join("a b")).unwrap();
        for (line, found) in [
            (".", Some("")),
            ("./libs/shop[redis,async] ; python_version > '3.8'", Some("libs/shop")),
            ("libs/shop", Some("libs/shop")),
            (&url, Some("a b")),
            ("file:libs/shop", Some("libs/shop")),
            ("libs", None),
            ("./other", None),
            ("shop @ git+https://me@example.org/libs/shop", None),
            ("--find-links ./libs", None),
        ] {
            assert_eq!(local_folder(line, folder.path()), found.map(|name| folder.path().join(name)), "{line}");
        }
    }

    #[test]
    fn a_package_from_elsewhere_is_told_from_one_of_the_index() {
        for (line, package, found) in [
            ("./libs/cext", "cext", true),
            ("./libs/my_ext/ ; python_version > '3'", "my-ext", true),
            ("libs/cext-1.0.tar.gz", "cext", true),
            ("cext @ file:///x/y", "cext", true),
            ("git+https://example.org/cext.git@main", "cext", true),
            ("git+https://example.org/x.git#egg=cext", "cext", true),
            ("cext==1", "cext", false),
            ("./libs/other", "cext", false),
            ("--find-links ./cext", "cext", false),
        ] {
            let place = line.split(" ;").next().filter(|_| found).map(str::to_owned);
            assert_eq!(place_of(line, package), place, "{line}");
        }
    }

    #[test]
    fn what_asked_is_found_in_what_is_included_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("more")).unwrap();
        std::fs::write(folder.path().join("r.txt"), "flask\n-r more/a.txt\n-r gone.txt\n-r pipe\n").unwrap();
        // What waits for somebody to write into it would wait for ever.
        nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(folder.path().join("more/a.txt"), "\nFlask_SQLAlchemy == 3\n-c ../r.txt\nnot a thing\n")
            .unwrap();
        let lines = read(&folder.path().join("r.txt"));
        for (wanted, file, number) in
            [("flask-sqlalchemy", "more/a.txt", 2), ("flask==3", "r.txt", 1), ("not a thing", "more/a.txt", 4)]
        {
            let line = asking_for(&lines, wanted).unwrap();
            assert_eq!((line.file.as_path(), line.number), (folder.path().join(file).as_path(), number), "{wanted}");
        }
        assert_eq!(asking_for(&lines, "redis"), None);
        assert_eq!(name("Zope.Interface[x]>=1; a"), "zope-interface");
    }
}
