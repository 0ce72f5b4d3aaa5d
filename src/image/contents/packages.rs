//! What the dependency layer holds: installed packages, their commands, their data files, their byte code, and the system
//! libraries that they need beyond those of the base layer.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;

use crate::{
    exit::Fatal,
    image::{
        cache::Cache,
        contents::{bundled_tests, closure::Closure, kept::Kept, tree},
        filter::ignore::Patterns,
        interpreter::{Interpreter, PREFIX, Sources},
        job::{
            disk,
            progress::{Cancel, Progress},
        },
        layer::{Contents, Times, normal},
    },
};

/// What of packages does not go along: byte code is compiled anew, for the paths in the image. What uv notes for itself has the
/// time of the build in it.
const IGNORE: &str = "**/__pycache__\n*.dist-info/uv_cache.json\n";
/// The names of folders with packages, four levels below a prefix at most: Debian's Python and Fedora's put `local` before the
/// rest, and some have `lib64` beside `lib`.
const PACKAGES: [&str; 2] = ["site-packages", "dist-packages"];
const DEPTH: usize = 4;
/// What is apart from the data files that are installed below the same prefix.
const BESIDE_DATA: &str = "bin\nlib*/python*/site-packages\nlib*/python*/dist-packages\n";
/// Where commands are for a package's record.
const BIN: &str = "../../../bin/";
const SHEBANG: &[u8] = b"#!/usr/local/bin/python3\n";

/// Gathers the layer from an installation below `prefix`; with the folders of tests that are not in it.
pub fn gather(
    interpreter: &Interpreter,
    (prefix, work): (&Path, &Path),
    base: &Closure,
    kept: &Kept,
    cache: &Cache,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Contents, BTreeSet<PathBuf>, Closure), Fatal> {
    let mut contents = Contents::new(Times::ByContent);
    let place = interpreter.facts.packages_place();
    contents.directory(place);
    let folders = packages_folders(prefix)?;
    for folder in &folders {
        tree::add_whole(&mut contents, place, folder, &Patterns::known(IGNORE))?;
    }
    leave_out_byte_code(&mut contents);
    leave_out_origins(&mut contents)?;
    let tests = leave_out_tests(&mut contents, place, kept, progress)?;
    progress.detail("compiling");
    let into = work.join("package-byte-code");
    fs_err::create_dir_all(&into).map_err(|error| disk::failed("compile the dependencies", &error))?;
    // One more requirement does not change the others' sources.
    let compile =
        |sources: Vec<_>, fate| interpreter.compile_with_cache(sources.into_iter(), fate, cache, &into, cancel);
    let without = sourceless(&contents, place, kept);
    let (absent, fixed) = contents.files().partition(|(path, _)| without.contains(*path));
    let (absent, fixed) = (compile(absent, Sources::AbsentButHelp)?, compile(fixed, Sources::Fixed)?);
    progress.detail("following shared libraries");
    let prefixes: BTreeSet<_> = folders.iter().filter_map(|folder| folder.ancestors().nth(3)).collect();
    for prefix in &prefixes {
        tree::add_whole(&mut contents, Path::new(PREFIX), prefix, &Patterns::known(BESIDE_DATA))?;
    }
    let own = fs_err::canonicalize(prefix).map_err(|error| disk::failed("find the dependencies", &error))?;
    let closure = Closure::complete(&mut contents, &[&own], base, (progress, cancel))?;
    for (path, byte_code) in absent {
        contents.remove(&path.with_extension("py"));
        contents.bytes(path, byte_code, false);
    }
    for (path, byte_code) in fixed {
        contents.bytes(path, byte_code, false);
    }
    let mut commands = BTreeMap::new();
    for prefix in prefixes {
        commands.extend(commands_in(&prefix.join("bin"), progress)?);
    }
    correct_records(&mut contents, &commands)?;
    for (name, content) in commands {
        contents.bytes(Path::new(PREFIX).join("bin").join(name), content, true);
    }
    Ok((contents, tests, closure))
}

/// The folders with packages below a prefix, whatever the scheme of the Python that installed them.
fn packages_folders(prefix: &Path) -> Result<Vec<PathBuf>, Fatal> {
    let mut folders = Vec::new();
    for entry in WalkDir::new(prefix).min_depth(DEPTH - 1).max_depth(DEPTH).sort_by_file_name() {
        let entry = entry.map_err(|error| disk::failed("find the dependencies", &error.into()))?;
        let version = entry.path().parent().and_then(Path::file_name).unwrap_or_default();
        let is_of_python = version.as_encoded_bytes().starts_with(b"python");
        if is_of_python && entry.file_type().is_dir() && PACKAGES.iter().any(|name| entry.file_name() == *name) {
            folders.push(entry.into_path());
        }
    }
    Ok(folders)
}

/// Takes out byte code whose source is there: it is compiled anew. What a package brings without a source is all that there is.
fn leave_out_byte_code(contents: &mut Contents) {
    let is_made_anew = |path: &Path| {
        path.extension().is_some_and(|extension| extension == "pyc") && contents.contains(path.with_extension("py"))
    };
    let made: Vec<_> = contents.files().map(|(path, _)| path.to_owned()).filter(|path| is_made_anew(path)).collect();
    for path in made {
        contents.remove(&path);
    }
}

/// Takes out what says where a package came from, unless everyone may know.
fn leave_out_origins(contents: &mut Contents) -> Result<(), Fatal> {
    let is_origin = |path: &Path| path.ends_with("direct_url.json") && is_in_record(path);
    let origins: Vec<_> =
        contents.files().filter(|(path, _)| is_origin(path)).map(|(p, f)| (p.to_owned(), f.to_owned())).collect();
    for (path, file) in origins {
        let text = fs_err::read(&file).map_err(|error| disk::failed("read where a package came from", &error))?;
        let origin: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        if !origin["url"].as_str().is_some_and(is_public) {
            contents.remove(&path);
        }
    }
    Ok(())
}

/// Whether an address is for everyone. Not one of this machine's, another on each, and not one with what may be a password or a
/// token: installers keep variables in their place and git's usual user (PEP 610), but not all take out the rest.
fn is_public(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let is_known = |user: &str| user == "git" || user.split(':').all(|part| part.starts_with("${"));
    scheme != "file" && !rest.contains('?') && authority.rsplit_once('@').is_none_or(|(user, _)| is_known(user))
}

/// Whether a file is one of those by which an installed package is known.
fn is_in_record(path: &Path) -> bool {
    path.parent().and_then(Path::extension).is_some_and(|extension| extension == "dist-info")
}

/// Takes out packages' tests, but those that are to be kept, and returns their folders.
fn leave_out_tests(
    contents: &mut Contents,
    place: &Path,
    kept: &Kept,
    progress: &dyn Progress,
) -> Result<BTreeSet<PathBuf>, Fatal> {
    let within = |path: &Path| path.strip_prefix(place).unwrap_or(path).to_owned();
    let files = contents.files().map(|(path, file)| (path.strip_prefix(place).unwrap_or(path), file));
    let mut folders = bundled_tests::folders(files)?;
    let named = kept.patterns();
    contents.retain(|path| {
        let path = within(path);
        let is_below = path.ancestors().any(|folder| folders.contains(folder));
        !is_below || named.matches(&path.to_string_lossy())
    });
    folders.retain(|folder| !contents.files().any(|(path, _)| within(path).starts_with(folder)));
    let owners: BTreeSet<_> = folders.iter().filter_map(|folder| folder.iter().next()?.to_str()).collect();
    if !owners.is_empty() {
        let owners = owners.into_iter().collect::<Vec<_>>().join(", ");
        let kinds: BTreeSet<_> = folders.iter().filter_map(|folder| folder.file_name()?.to_str()).collect();
        let options: Vec<_> = kinds.iter().map(|name| format!("--keep '**/{name}'")).collect();
        progress.note(&format!("without the tests of {owners}, which {} would keep", options.join(" ")));
    }
    Ok(folders)
}

/// The modules whose byte code is enough, where an image is to be slim. What is not within a package with an `__init__.py` may
/// be read as a file, as templates of modules are.
fn sourceless(contents: &Contents, place: &Path, kept: &Kept) -> BTreeSet<PathBuf> {
    if !kept.is_slim() {
        return BTreeSet::new();
    }
    let named = kept.patterns();
    let is_module = |path: &Path| {
        let Ok(within) = path.strip_prefix(place) else { return false };
        let packages = path.ancestors().skip(1).take_while(|folder| *folder != place);
        path.extension().is_some_and(|extension| extension == "py")
            && packages.into_iter().all(|folder| contents.contains(folder.join("__init__.py")))
            && !named.matches(&within.to_string_lossy())
    };
    contents.files().map(|(path, _)| path).filter(|path| is_module(path)).map(Path::to_owned).collect()
}

/// The packages' commands, for the interpreter in the image; not those that are its own.
fn commands_in(bin: &Path, progress: &dyn Progress) -> Result<BTreeMap<String, Vec<u8>>, Fatal> {
    let failed = |error: std::io::Error| disk::failed("read the packages' commands", &error);
    let Ok(entries) = fs_err::read_dir(bin) else { return Ok(BTreeMap::new()) };
    let mut commands = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if let Some(name) = entry.file_name().to_str()
            && entry.path().is_file()
        {
            if is_own(name) {
                progress.note(&format!("without the command {name} of a dependency: the image has its own"));
                continue;
            }
            commands.insert(name.to_owned(), with_shebang(fs_err::read(entry.path()).map_err(failed)?));
        }
    }
    Ok(commands)
}

/// Whether a command is one of the base layer's: rwsgi, or Python by any of its names.
fn is_own(name: &str) -> bool {
    let version = name.strip_prefix("python");
    name == "rwsgi" || version.is_some_and(|version| version.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// Corrects what packages' records say of commands: their content is not what the installer wrote. Its own lines would also
/// differ from one machine to the next, as its path does.
fn correct_records(contents: &mut Contents, commands: &BTreeMap<String, Vec<u8>>) -> Result<(), Fatal> {
    let is_record = |path: &Path| path.ends_with("RECORD") && is_in_record(path);
    let records: Vec<_> =
        contents.files().filter(|(path, _)| is_record(path)).map(|(p, f)| (p.to_owned(), f.to_owned())).collect();
    for (path, file) in records {
        let record = fs_err::read_to_string(&file).map_err(|error| disk::failed("read a package's record", &error))?;
        let place = path.parent().and_then(Path::parent).unwrap_or(Path::new(""));
        let is_there = |name: &str| match name.strip_prefix(BIN) {
            Some(command) => commands.contains_key(command),
            None => name.starts_with(['"', '/']) || contents.contains(normal(&place.join(name))),
        };
        if let Some(corrected) = correct_record(&record, commands, is_there) {
            contents.bytes(path, corrected, false);
        }
    }
    Ok(())
}

/// The record with other lines for commands, and with none for files that are left out; nothing if it stays as it is.
fn correct_record(
    record: &str,
    commands: &BTreeMap<String, Vec<u8>>,
    is_there: impl Fn(&str) -> bool,
) -> Option<String> {
    let mut any = false;
    let there = record.lines().filter(|line| is_there(line.split(',').next().unwrap_or_default()));
    let lines = there.map(|line| {
        let command = line
            .strip_prefix(BIN)
            .and_then(|rest| rest.split(',').next())
            .and_then(|name| Some((name, commands.get(name)?)));
        let Some((name, content)) = command else { return line.to_owned() };
        any = true;
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        format!("{BIN}{name},sha256={digest},{}", content.len())
    });
    let corrected = lines.collect::<Vec<_>>().join("\n") + "\n";
    (any || corrected.lines().count() < record.lines().count()).then_some(corrected)
}

/// A script whose first line names this machine's Python, for the one in the image.
fn with_shebang(content: Vec<u8>) -> Vec<u8> {
    let mut lines = content.splitn(4, |byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    // A path too long for the kernel is wrapped: sh runs the second line, Python takes it for a string.
    let rest = if first == b"#!/bin/sh" && second.starts_with(b"'''exec'") {
        lines.nth(1)
    } else if first.starts_with(b"#!") && first.windows(6).any(|part| part == b"python") {
        content.get(first.len() + 1..)
    } else {
        None
    };
    rest.map(|rest| [SHEBANG, rest].concat()).unwrap_or(content)
}

#[cfg(test)]
mod tests {
    use super::{
        BESIDE_DATA, IGNORE, Patterns, commands_in, correct_record, is_public, leave_out_byte_code, leave_out_origins,
        packages_folders, with_shebang,
    };
    use crate::image::job::progress::Silent;
    use crate::image::layer::Contents;

    #[test]
    fn the_lists_can_be_read() {
        assert!(Patterns::known(IGNORE).matches("own-1.dist-info/uv_cache.json"));
        let beside = Patterns::known(BESIDE_DATA);
        assert!(beside.matches("bin/flask") && beside.matches("lib64/python3.11/site-packages/flask/app.py"));
        assert!(!beside.matches("lib/libdat.so.1") && !beside.matches("share/bin/x"));
    }

    #[test]
    fn packages_are_found_whatever_the_scheme() {
        let prefix = tempfile::tempdir().unwrap();
        for folder in [
            "lib/python3.11/site-packages/own/python3/site-packages",
            "lib64/python3.11/site-packages",
            "local/lib/python3.11/dist-packages",
            "share/own/site-packages",
        ] {
            std::fs::create_dir_all(prefix.path().join(folder)).unwrap();
        }
        let found = packages_folders(prefix.path()).unwrap();
        let found: Vec<_> = found.iter().map(|folder| folder.strip_prefix(prefix.path()).unwrap().to_str()).collect();
        let expected =
            ["lib/python3.11/site-packages", "lib64/python3.11/site-packages", "local/lib/python3.11/dist-packages"];
        assert_eq!(found, expected.map(Some));
    }

    #[test]
    fn commands_are_for_the_python_in_the_image() {
        for (script, expected) in [
            ("#!/home/me/venv/bin/python3.11\nimport x\n", "#!/usr/local/bin/python3\nimport x\n"),
            (
                "#!/bin/sh\n'''exec' /long/python \"$0\" \"$@\"\n' '''\nimport x\ny\n",
                "#!/usr/local/bin/python3\nimport x\ny\n",
            ),
            ("#!/bin/sh\necho\n", "#!/bin/sh\necho\n"),
            ("\u{7f}ELF", "\u{7f}ELF"),
            ("#!/usr/bin/python", "#!/usr/bin/python"),
        ] {
            assert_eq!(String::from_utf8(with_shebang(script.into())).unwrap(), expected);
        }
    }

    #[test]
    fn records_name_commands_as_they_are_in_the_image() {
        let is_there = |name: &str| !name.starts_with("x/tests");
        let commands = [("flask".to_owned(), b"x".to_vec())].into();
        assert_eq!(
            correct_record(
                "../../../bin/flask,sha256=old,3\nflask/__init__.py,sha256=y,1\nx/tests/a.py,,\n",
                &commands,
                is_there
            )
            .as_deref(),
            Some(
                "../../../bin/flask,sha256=LXEWQrcmsEQBYnyp-6wy9chTD7GQPMTbAiWHF5IaSIE,1\nflask/__init__.py,sha256=y,1\n"
            )
        );
        assert_eq!(correct_record("flask/__init__.py,sha256=y,1\n", &commands, is_there), None);
    }

    #[test]
    fn a_dependency_does_not_bring_the_images_own_commands() {
        let bin = tempfile::tempdir().unwrap();
        for name in ["rwsgi", "python", "python3", "python3.11", "flask", "python-argcomplete", "rwsgi-dockerize"] {
            std::fs::write(bin.path().join(name), "").unwrap();
        }
        let names: Vec<_> = commands_in(bin.path(), &Silent).unwrap().into_keys().collect();
        assert_eq!(names, ["flask", "python-argcomplete", "rwsgi-dockerize"]);
    }

    #[test]
    fn byte_code_goes_along_where_it_is_all_that_there_is() {
        let mut contents = Contents::default();
        for name in ["a/both.py", "a/both.pyc", "a/alone.pyc"] {
            contents.file(name, "/dev/null", false);
        }
        leave_out_byte_code(&mut contents);
        let left: Vec<_> = contents.files().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(left, ["a/alone.pyc", "a/both.py"]);
    }

    #[test]
    fn where_a_local_package_was_stays_here() {
        let folder = tempfile::tempdir().unwrap();
        let mut contents = Contents::default();
        for (name, url) in [("here", "file:///home/me/here"), ("there", "https://example.org/there.whl")] {
            let file = folder.path().join(name);
            std::fs::write(&file, format!("{{\"url\": \"{url}\"}}")).unwrap();
            contents.file(format!("{name}-1.dist-info/direct_url.json"), &file, false);
        }
        leave_out_origins(&mut contents).unwrap();
        let left: Vec<_> = contents.files().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(left, ["there-1.dist-info/direct_url.json"]);
        for (url, public) in [
            ("ssh://git@example.org/there.git", true),
            ("https://${USER}:${TOKEN}@example.org/there.whl", true),
            ("https://me:x@example.org/there.whl", false),
            ("https://token@example.org/there.whl", false),
            ("https://example.org/there.whl?private_token=x", false),
            ("", false),
        ] {
            assert_eq!(is_public(url), public, "{url}");
        }
    }
}
