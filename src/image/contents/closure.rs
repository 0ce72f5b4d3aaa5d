//! The closure: every shared library that a set of ELF files needs, from the system's folders.
//!
//! The libraries end up in one folder of the image, that of the C library, where the loader looks by default: no
//! configuration or cache of the loader is needed. Nothing is run to find them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lddtree::DependencyAnalyzer;
use serde::{Deserialize, Serialize};

use crate::{
    exit::Fatal,
    image::{
        elf::{Loader, is_elf},
        job::progress::{Cancel, Progress},
        layer::Contents,
    },
};

/// What is loaded by name while a program runs, so that no file names it: unwinding for threads that end, and, where the C
/// library has not taken them in yet, host names from files and DNS.
const LOADED_BY_NAME: [&str; 4] = ["libgcc_s.so.1", "libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];
/// What stands for the folder of a library in what it says of others.
const ORIGIN: &[u8] = b"$ORIGIN";
/// Where the loader knows the system's libraries from.
const KNOWN: &str = "/etc/ld.so.cache";

/// What a set of files needs.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Closure {
    /// Library name, and the file that has it on this machine.
    libraries: BTreeMap<String, PathBuf>,
    /// The program interpreter: its path, and its file.
    loader: Option<(PathBuf, PathBuf)>,
    /// Library name, and a file that needs it in vain.
    pub missing: BTreeMap<String, PathBuf>,
}

impl Closure {
    /// Follows `roots`. Libraries below `own` are packages' own: they are taken along with the package.
    pub fn of(roots: &[PathBuf], own: &[&Path], cancel: &Cancel) -> Result<Self, Fatal> {
        let bundled: BTreeSet<_> = roots.iter().filter_map(|root| root.file_name()).collect();
        let mut closure = Self::default();
        for root in roots {
            cancel.check()?;
            refuse_unreadable(root)?;
            let Ok(tree) = DependencyAnalyzer::default().analyze(root) else {
                // Not for this machine, or damaged: what the package's author put there is taken along as it is.
                continue;
            };
            if let Some(loader) = tree.interpreter.map(PathBuf::from)
                && let Ok(file) = fs_err::canonicalize(&loader)
            {
                closure.loader = Some((loader, file));
            }
            for (name, library) in tree.libraries {
                match library.realpath {
                    Some(path) if own.iter().any(|own| path.starts_with(own)) => {}
                    Some(path) => {
                        closure.libraries.entry(name).or_insert(path);
                    }
                    // Bundled beside its user and loaded before it by the package itself.
                    None if bundled.contains(std::ffi::OsStr::new(&name)) => {}
                    None => {
                        closure.missing.entry(name).or_insert_with(|| root.clone());
                    }
                }
            }
        }
        // The C library names the loader as something it needs; it is there before any library is looked for.
        if let Some(loader) = closure.loader_name().map(str::to_owned) {
            closure.libraries.remove(&loader);
        }
        Ok(closure)
    }

    /// Adds what is loaded by name, as far as this machine has it.
    pub fn add_loaded_by_name(&mut self) {
        let Some(directory) = self.c_library().and_then(|path| path.parent().map(Path::to_owned)) else { return };
        for name in LOADED_BY_NAME {
            if let Ok(path) = fs_err::canonicalize(directory.join(name)) {
                self.libraries.entry(name.to_owned()).or_insert(path);
            }
        }
    }

    /// Takes `library` instead of another file of that name, or none.
    pub fn replace(&mut self, library: &Path) {
        if let Some(name) = library.file_name().and_then(|name| name.to_str()) {
            self.missing.remove(name);
            self.libraries.insert(name.to_owned(), library.to_owned());
        }
    }

    /// Takes over the libraries of an upper layer.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.libraries.extend(other.libraries.iter().map(|(name, path)| (name.clone(), path.clone())));
        self
    }

    /// Leaves out what `base` has.
    #[must_use]
    pub fn without(mut self, base: &Self) -> Self {
        let loader = base.loader_name();
        self.libraries.retain(|name, _| !base.libraries.contains_key(name) && Some(name.as_str()) != loader);
        self.missing.retain(|name, _| !base.libraries.contains_key(name));
        self.loader = None;
        self
    }

    /// Puts the libraries where the loader of `base` looks, as small as it can read them.
    pub fn add_to(&self, contents: &mut Contents, base: &Self) -> Result<(), Fatal> {
        let loader = Loader::of(base.c_library());
        let directory = base.c_library().and_then(Path::parent).map_or_else(|| PathBuf::from("usr/lib"), merged);
        for (name, path) in &self.libraries {
            loader.add(contents, directory.join(name), path, false)?;
        }
        if let Some((path, file)) = &self.loader {
            contents.file(merged(path), file, true);
            let mut links = vec!["lib"];
            links.extend(path.components().nth(1).and_then(|first| first.as_os_str().to_str()).filter(|l| *l != "lib"));
            for link in links.into_iter().filter(|link| link.starts_with("lib")) {
                contents.directory(Path::new("usr").join(link));
                contents.symlink(link, format!("usr/{link}"));
            }
        }
        Ok(())
    }

    /// Follows what is ELF in `contents` and adds what it needs beyond `base`; libraries below `own` are the contents' own.
    ///
    /// # Errors
    /// A library cannot be read, or the build was told to stop.
    pub fn complete(
        contents: &mut Contents,
        own: &[&Path],
        base: &Self,
        (progress, cancel): (&dyn Progress, &Cancel),
    ) -> Result<Self, Fatal> {
        let mut whereabouts = Contents::default();
        base.watch(&mut whereabouts);
        let may_be = contents.files().filter(|(path, file)| may_be_elf(path) && is_elf(file));
        let roots: Vec<PathBuf> = may_be.map(|(_, file)| file.to_owned()).collect();
        let closure = Self::of(&roots, own, cancel)?.without(base);
        for (name, by) in &closure.missing {
            let by = own.iter().find_map(|own| by.strip_prefix(own).ok()).unwrap_or(by);
            progress.warning(&format!(
                "{} needs {name}, which this machine does not have; what uses it will fail in the image as it does here.",
                by.display()
            ));
        }
        if !closure.missing.is_empty() {
            contents.depend_like(&whereabouts);
        }
        closure.add_to(contents, base)?;
        Ok(closure)
    }

    /// Says that `contents` depend on where the system's libraries are: one that is missing may be installed.
    pub fn watch(&self, contents: &mut Contents) {
        contents.depends_on(Path::new(KNOWN));
        if let Some(folder) = self.c_library().and_then(Path::parent) {
            contents.depends_on(folder);
        }
    }

    fn loader_name(&self) -> Option<&str> {
        self.loader.as_ref()?.0.file_name()?.to_str()
    }

    /// The C library, which nearly everything needs.
    pub fn c_library(&self) -> Option<&Path> {
        self.libraries.get("libc.so.6").map(PathBuf::as_path)
    }
}

/// The place in the image of a path on this machine, where `/lib` may or may not be a link to `usr/lib`: there, it is one.
fn merged(path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let in_root =
        relative.components().next().is_some_and(|first| first.as_os_str().as_encoded_bytes().starts_with(b"lib"));
    if in_root { Path::new("usr").join(relative) } else { relative.to_owned() }
}

fn may_be_elf(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.as_encoded_bytes();
        !name.contains(&b'.') || name.windows(3).any(|part| part == b".so")
    })
}

/// Refuses a library that names its own folder, where that has a name which the reader of libraries cannot take.
fn refuse_unreadable(root: &Path) -> Result<(), Fatal> {
    let place = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let names_its_folder = || fs_err::read(root).is_ok_and(|file| memchr::memmem::find(&file, ORIGIN).is_some());
    if place.to_str().is_some() || !names_its_folder() {
        return Ok(());
    }
    Err(Fatal::new(format!(
        "What {} needs cannot be found, because its path is not UTF-8. Give the file or its folder another name.",
        place.display()
    )))
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        path::{Path, PathBuf},
    };

    use super::{Closure, KNOWN, may_be_elf, merged};
    use crate::image::job::progress::{Cancel, Silent};
    use crate::image::layer::Contents;

    #[test]
    fn both_layouts_of_a_system_become_one() {
        for (path, place) in [
            ("/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"),
            ("/usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"),
            ("/lib64/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"),
            ("/opt/lib/x", "opt/lib/x"),
        ] {
            assert_eq!(merged(Path::new(path)), PathBuf::from(place));
        }
    }

    #[test]
    fn this_very_program_needs_a_c_library_and_a_loader() {
        let program = std::env::current_exe().unwrap();
        let closure = Closure::of(&[program], &[], &Cancel::default()).unwrap();
        assert!(closure.libraries.contains_key("libc.so.6"), "{closure:?}");
        let mut contents = Contents::default();
        closure.add_to(&mut contents, &closure).unwrap();
        let names: Vec<_> = contents.kinds().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
        assert!(names.iter().any(|name| name.ends_with("/libc.so.6")), "{names:?}");
        assert!(names.iter().any(|name| name.contains("ld-")), "{names:?}");
        assert!(contents.contains("lib"));
        let nothing = Closure::of(&[], &[], &Cancel::default()).unwrap();
        assert!(closure.without(&nothing).loader.is_none());
    }

    #[test]
    fn libraries_are_told_by_their_names() {
        for (path, expected) in
            [("a.so", true), ("lib.so.1.2", true), ("a/tool", true), ("a.py", false), ("b.json", false)]
        {
            assert_eq!(may_be_elf(path.as_ref()), expected, "{path}");
        }
    }

    #[test]
    fn contents_get_what_their_programs_need_and_wait_for_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let (program, cancel) = (folder.path().join("program"), Cancel::default());
        let itself = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let complete = |content: &[u8], base: &Closure| {
            std::fs::write(&program, content).unwrap();
            let mut contents = Contents::default();
            contents.file("app/program", &program, true);
            Closure::complete(&mut contents, &[folder.path()], base, (&Silent, &cancel)).unwrap();
            contents
        };
        let has = |contents: &Contents, name: &str| contents.kinds().any(|(path, _)| path.ends_with(name));
        let waits = |contents: &Contents| String::from_utf8(contents.inputs().to_bytes()).unwrap().contains(KNOWN);
        let nothing = Closure::default();
        let contents = complete(&itself, &nothing);
        assert!(has(&contents, "libc.so.6") && !waits(&contents));
        let base = Closure::of(&[std::env::current_exe().unwrap()], &[], &cancel).unwrap();
        assert!(!has(&complete(&itself, &base), "libc.so.6"));
        // The same program, of another library.
        let at =
            memchr::memmem::find(&itself, b"\0libgcc_s.so.1\0").or(memchr::memmem::find(&itself, b"\0libm.so.6\0"));
        let mut lacking = itself.clone();
        lacking[at.unwrap() + 4] = b'?';
        assert!(waits(&complete(&lacking, &nothing)));
        let base = base.and(&Closure { libraries: [("liby.so".into(), "/y".into())].into(), ..Closure::default() });
        assert!(base.libraries.contains_key("liby.so") && base.c_library().is_some());
    }

    #[test]
    fn a_library_that_was_chosen_is_had_by_all() {
        let lacking =
            || Closure { missing: BTreeMap::from([("libx.so.1".to_owned(), PathBuf::new())]), ..Closure::default() };
        let mut base = lacking();
        base.replace(Path::new("/other/libx.so.1"));
        assert_eq!((base.libraries["libx.so.1"].as_path(), base.missing.len()), (Path::new("/other/libx.so.1"), 0));
        assert!(lacking().without(&base).missing.is_empty());
        let mut package = Closure::default();
        package.replace(Path::new("/here/libx.so.1"));
        assert!(package.without(&base).libraries.is_empty());
    }
}
