//! What the base layer holds: rwsgi, the interpreter, the standard library, the system's libraries and files that they need.
//!
//! It depends on the interpreter and on rwsgi alone, so that all images that one rwsgi makes share it.

use std::path::Path;

use crate::{
    exit::Fatal,
    image::{
        contents::{
            busybox,
            closure::Closure,
            kept::Kept,
            stdlib::{self, Modules},
            tree,
        },
        elf::Loader,
        filter::ignore::Patterns,
        interpreter::{Interpreter, PREFIX},
        job::progress::{Cancel, Progress},
        layer::Contents,
    },
};

/// Files of ours.
const FILES: [(&str, &str); 3] = [
    ("etc/passwd", include_str!("../../../images/passwd")),
    ("etc/group", include_str!("../../../images/group")),
    ("etc/nsswitch.conf", include_str!("../../../images/nsswitch.conf")),
];
/// Files of the system's that the standard library reads, taken along where they exist. Types of files follow from the last.
const SYSTEM_FILES: [&str; 3] = ["etc/protocols", "etc/services", "etc/mime.types"];
/// The certificate authorities of common systems, best first.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Where they are in the image, whatever the system: what is not the interpreter's OpenSSL (wheels bring their own) looks there.
const AUTHORITIES_PLACE: &str = "etc/ssl/certs/ca-certificates.crt";
const ZONES_PLACE: &str = "usr/share/zoneinfo";
/// The same zones a second time, and a third with leap seconds.
const ZONES_IGNORE: &str = "posix\nright\nposixrules\nlocaltime\n";
const LOCALE: &str = "usr/lib/locale/C.utf8";

/// Gathers the base layer; what is made on the way is put into `work`.
pub fn gather(
    interpreter: &Interpreter,
    kept: &Kept,
    work: &Path,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(Contents, (Closure, Modules)), Fatal> {
    let mut contents = Contents::default();
    let mut roots = Vec::new();
    let facts = &interpreter.facts;
    let bin = Path::new(PREFIX).join("bin");
    let own = Closure::of(&[interpreter.program().to_owned()], &[], cancel)?;
    let loader = Loader::of(own.c_library());
    loader.add(&mut contents, bin.join("rwsgi"), interpreter.program(), true)?;
    roots.push(interpreter.program().to_owned());
    for name in ["python", "python3", &format!("python{}", facts.version)] {
        contents.symlink(bin.join(name), "rwsgi");
    }
    roots.extend(interpreter.libpython().map(Path::to_owned));
    if kept.debug {
        roots.push(busybox::add(&mut contents, cancel)?);
    }
    // ctypes asks ldconfig for libraries; the program answers to that name too.
    contents.symlink("sbin/ldconfig", Path::new("/").join(&bin).join("rwsgi"));
    let (modules, extensions) = stdlib::add(&mut contents, interpreter, loader, kept, work, cancel)?;
    roots.extend(extensions);
    let mut whereabouts = Contents::default();
    own.watch(&mut whereabouts);
    let mut closure = Closure::of(&roots, &[], cancel)?;
    closure.add_loaded_by_name();
    if let Some(libpython) = interpreter.libpython() {
        closure.replace(libpython);
    }
    for (name, by) in &closure.missing {
        progress.warning(&format!("{} needs {name}, which this machine does not have.", by.display()));
    }
    if !closure.missing.is_empty() {
        contents.depend_like(&whereabouts);
    }
    closure.add_to(&mut contents, &closure)?;
    add_system_files(&mut contents, interpreter, progress)?;
    Ok((contents, (closure, modules)))
}

fn add_system_files(contents: &mut Contents, interpreter: &Interpreter, progress: &dyn Progress) -> Result<(), Fatal> {
    for (path, content) in FILES {
        contents.bytes(path, content, false);
    }
    contents.directory_with_mode("tmp", 0o1777);
    for path in SYSTEM_FILES {
        add_if_there(contents, path);
    }
    add_authorities(contents, interpreter, progress);
    let every = Patterns::default();
    if let Some(zones) = &interpreter.facts.zones {
        tree::add_whole(contents, Path::new(ZONES_PLACE), zones, &Patterns::known(ZONES_IGNORE))?;
        lead(contents, zones, ZONES_PLACE);
    } else {
        progress.warning("This machine has no time zones; add tzdata to the app's requirements if it needs them.");
    }
    let locale = Path::new("/").join(LOCALE);
    if locale.is_dir() {
        tree::add_whole(contents, Path::new(LOCALE), &locale, &every)?;
    }
    Ok(())
}

fn add_authorities(contents: &mut Contents, interpreter: &Interpreter, progress: &dyn Progress) {
    let facts = &interpreter.facts;
    for candidate in AUTHORITIES {
        contents.depends_on(Path::new(candidate));
    }
    let Some(file) =
        AUTHORITIES.iter().map(Path::new).chain([facts.openssl_cafile.as_path()]).find(|path| path.is_file())
    else {
        progress.warning(
            "This machine has no certificate authorities, so the app will trust no TLS server: install the package \
             ca-certificates and build again, or add certifi to the app's requirements.",
        );
        return;
    };
    contents.file(AUTHORITIES_PLACE, file, false);
    lead(contents, &facts.openssl_cafile, AUTHORITIES_PLACE);
}

/// Has what looks for `path`, which the interpreter was built with, find what the image has at another place.
fn lead(contents: &mut Contents, path: &Path, place: &str) {
    let there = Path::new("/").join(place);
    if let Ok(link) = path.strip_prefix("/")
        && path != there
    {
        contents.symlink(link, &there);
    }
}

fn add_if_there(contents: &mut Contents, path: &str) {
    let file = Path::new("/").join(path);
    contents.depends_on(&file);
    if file.is_file() {
        contents.file(path, file, false);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Contents, Patterns, ZONES_IGNORE, ZONES_PLACE, lead};

    #[test]
    fn the_list_can_be_read() {
        assert!(Patterns::known(ZONES_IGNORE).matches("right/Europe/Paris"));
    }

    #[test]
    fn a_python_that_looks_elsewhere_is_led_to_what_there_is() {
        let mut contents = Contents::default();
        lead(&mut contents, Path::new("/usr/share/zoneinfo"), ZONES_PLACE);
        assert_eq!(contents.kinds().count(), 0);
        lead(&mut contents, Path::new("/opt/python/share/zoneinfo"), ZONES_PLACE);
        assert_eq!(contents.kinds().last(), Some((Path::new("opt/python/share/zoneinfo"), false)));
    }
}
