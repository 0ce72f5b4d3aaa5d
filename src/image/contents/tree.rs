//! Walks a folder on disk and says what of it goes into a layer.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use crate::{
    exit::Fatal,
    image::{
        filter::{PART, ignore::Patterns, screen::Screen},
        job::{disk, progress::Progress},
        layer::Contents,
    },
};

/// The names that never belong into an image, in whichever folder.
const NEVER: [&str; 4] = [".git", ".hg", ".svn", "__pycache__"];

/// How a name begins that means that something in a layer below is gone (OCI image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// Adds an app's folder below `place`, but what `ignored` name, version control, byte code, virtual environments, `except`, and
/// what `screen` keeps out.
pub fn add_app(
    contents: &mut Contents,
    place: &Path,
    folder: &Path,
    ignored: &Patterns,
    except: &[&Path],
    screen: &Screen,
    progress: &dyn Progress,
) -> Result<(), Fatal> {
    if place != Path::new("") {
        contents.directory(place);
    }
    let enter = |entry: &DirEntry| {
        entry.depth() == 0 || enters(entry, folder, ignored, except) && is_admitted(entry, folder, ignored, screen)
    };
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(enter) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                // It was entered for what may be kept below it.
                let directory = ignored_and_closed(&error, folder, ignored).ok_or_else(|| failed(folder, error))?;
                progress.warning(&format!(
                    "{} cannot be read, so it stays out with whatever a ! in .dockerignore would keep of it.",
                    directory.display()
                ));
                continue;
            }
        };
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        // An excluded directory is only entered for what may be kept below it.
        if entry.depth() == 0 || ignored.matches(&relative.to_string_lossy()) {
            continue;
        }
        let metadata = entry.metadata().map_err(|error| failed(folder, error))?;
        if relative.iter().any(|name| name.as_encoded_bytes().starts_with(WHITEOUT)) {
            progress.warning(&format!(
                "{} stays out: in an image, a name that begins with .wh. takes another file away.",
                relative.display()
            ));
        } else if metadata.is_file() {
            if screen.admits(relative, entry.path(), &metadata)? {
                add_file(contents, &place.join(relative), entry.path(), &metadata);
            }
        } else if !add(contents, &place.join(relative), entry.path(), &metadata)? {
            progress.warning(&format!("{} is a socket, a pipe or a device and stays out.", relative.display()));
        }
    }
    Ok(())
}

fn enters(entry: &DirEntry, folder: &Path, ignored: &Patterns, except: &[&Path]) -> bool {
    let name = entry.file_name();
    if name.as_encoded_bytes().ends_with(PART.as_bytes()) {
        return false;
    }
    if NEVER.iter().any(|never| name == *never) || except.contains(&entry.path()) {
        return false;
    }
    if !entry.file_type().is_dir() {
        // Byte code is compiled anew, unless it is all that there is.
        let is_byte_code = entry.path().extension().is_some_and(|extension| extension == "pyc");
        return !(is_byte_code && entry.path().with_extension("py").exists());
    }
    if entry.path().join("pyvenv.cfg").exists() {
        return false;
    }
    may_have(ignored, entry.path().strip_prefix(folder).unwrap_or(entry.path()))
}

/// Whether `screen` lets a directory in. Files, and what may be kept of an excluded directory, are asked for one by one.
fn is_admitted(entry: &DirEntry, folder: &Path, ignored: &Patterns, screen: &Screen) -> bool {
    let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
    !entry.file_type().is_dir()
        || ignored.matches(&relative.to_string_lossy())
        || screen.admits_folder(relative, entry.path())
}

/// The directory that cannot be read, if it is one that `ignored` name.
fn ignored_and_closed(error: &walkdir::Error, folder: &Path, ignored: &Patterns) -> Option<PathBuf> {
    let is_closed = error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let directory = error.path()?.strip_prefix(folder).ok()?;
    (is_closed && ignored.matches(&directory.to_string_lossy())).then(|| directory.to_owned())
}

/// Whether something in a directory may go along.
fn may_have(ignored: &Patterns, directory: &Path) -> bool {
    let directory = directory.to_string_lossy();
    !ignored.matches(&directory) || ignored.may_keep_below(&directory)
}

/// Adds the whole of a folder below `place`, but what `ignored` name. Links that lead out of the folder are followed: what they
/// lead to is not in the image.
pub fn add_whole(contents: &mut Contents, place: &Path, folder: &Path, ignored: &Patterns) -> Result<(), Fatal> {
    let enter = |entry: &DirEntry| {
        entry.depth() == 0 || may_have(ignored, entry.path().strip_prefix(folder).unwrap_or(entry.path()))
    };
    for entry in WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(enter) {
        let entry = entry.map_err(|error| failed(folder, error))?;
        let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        if entry.depth() > 0 && ignored.matches(&relative.to_string_lossy()) {
            continue;
        }
        let mut metadata = entry.metadata().map_err(|error| failed(folder, error))?;
        if metadata.is_dir() {
            contents.depends_on(entry.path());
        }
        if metadata.is_symlink() && leads_out(entry.path(), folder) {
            match fs_err::metadata(entry.path()) {
                Ok(behind) if behind.is_file() => metadata = behind,
                _ => continue,
            }
        }
        if entry.depth() > 0 {
            add(contents, &place.join(relative), entry.path(), &metadata)?;
        }
    }
    Ok(())
}

fn leads_out(link: &Path, folder: &Path) -> bool {
    !fs_err::read_link(link).is_ok_and(|target| target.is_relative())
        || !fs_err::canonicalize(link).is_ok_and(|path| path.starts_with(folder))
}

/// Adds one file, link or directory; false for what an image cannot hold.
fn add(contents: &mut Contents, place: &Path, path: &Path, metadata: &Metadata) -> Result<bool, Fatal> {
    if metadata.is_dir() {
        contents.directory(place);
    } else if metadata.is_symlink() {
        let target =
            fs_err::read_link(path).map_err(|error| disk::failed(&format!("read {}", path.display()), &error))?;
        contents.symlink(place, target);
    } else if metadata.is_file() {
        add_file(contents, place, path, metadata);
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// Adds a file, which anyone may run where its owner may.
pub fn add_file(contents: &mut Contents, place: &Path, path: &Path, metadata: &Metadata) {
    contents.file(place, path, metadata.permissions().mode() & 0o111 != 0);
}

fn failed(folder: &Path, error: walkdir::Error) -> Fatal {
    let path = error.path().map_or_else(|| folder.to_owned(), PathBuf::from);
    let error = error.into_io_error().unwrap_or_else(|| io::Error::other("its links go round in a circle"));
    if error.kind() == io::ErrorKind::PermissionDenied {
        return disk::unreadable(&path, &error);
    }
    disk::failed(&format!("read {}", path.display()), &error)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::add_app;
    use crate::image::{
        filter::{ignore::Patterns, screen::Screen},
        job::{progress::Silent, recording::Recording},
        layer::Contents,
    };

    /// Names in an image of `folder`, and what is warned of, as somebody sees it who is not root.
    fn seen(folder: &Path, ignored: &str) -> Result<(Vec<String>, Vec<String>), String> {
        std::thread::scope(|scope| {
            let seen = scope.spawn(|| {
                // Of this thread alone.
                nix::unistd::setfsuid(65534.into());
                let (mut contents, told) = (Contents::default(), Recording::new(&Silent));
                let ignored = Patterns::parse(".dockerignore", ignored).unwrap();
                add_app(&mut contents, Path::new(""), folder, &ignored, &[], &Screen::default(), &told)
                    .map_err(|error| error.to_string())?;
                let names = contents.files().map(|(path, _)| path.display().to_string()).collect();
                Ok((names, told.warnings()))
            });
            seen.join().unwrap()
        })
    }

    #[test]
    fn an_image_of_an_earlier_build_stays_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("image")).unwrap();
        for name in ["app.py", "image/oci-layout", "image/index.json", "index.json"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let files = |ignored: &str| {
            let (mut contents, screen) = (Contents::default(), Screen::default());
            let ignored = Patterns::parse(".dockerignore", ignored).unwrap();
            add_app(&mut contents, Path::new(""), folder.path(), &ignored, &[], &screen, &Silent).unwrap();
            let names: Vec<_> = contents.files().map(|(path, _)| path.display().to_string()).collect();
            (names.join(" "), screen.left_out().len())
        };
        assert_eq!(files(""), ("app.py index.json".to_owned(), 1));
        assert_eq!(files("image"), ("app.py index.json".to_owned(), 0));
        assert_eq!(files("image\n!image/index.json"), ("app.py image/index.json index.json".to_owned(), 0));
    }

    #[test]
    fn a_closed_directory_that_stays_out_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str, mode| {
            fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        for name in ["data/postgres", "docs"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        for name in ["app.py", "docs/a.md"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        mode("", 0o755);
        // Not even its owner may.
        mode("data/postgres", 0o000);
        let files = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(seen(folder.path(), "data\ndocs\n!docs/a.md"), Ok((files(&["app.py", "docs/a.md"]), Vec::new())));
        let (names, warnings) = seen(folder.path(), "data\ndocs\n!**/*.md").unwrap();
        assert_eq!(names, ["app.py", "docs/a.md"]);
        assert!(warnings[0].starts_with("data/postgres cannot be read, so it stays out"), "{warnings:?}");
        let refused = seen(folder.path(), "docs").unwrap_err();
        mode("data/postgres", 0o700);
        assert!(refused.contains("Make it readable, or name it in .dockerignore"), "{refused}");
    }
}
