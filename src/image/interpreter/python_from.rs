//! Another CPython than the one that rwsgi runs, for `--python-from`.
//!
//! The program in an image loads a libpython by name, or has Python's code in it, so the other must be of the same version. A
//! rwsgi that is installed in that Python was built for it, whatever its version.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    exit::{Code, Fatal},
    image::{
        cache::Cache,
        elf::is_elf,
        interpreter::{Facts, Interpreter},
        job::{child, progress::Cancel},
    },
};

/// The interpreter in `directory`: a prefix or an environment, with `bin/python3` in it.
pub fn choose(directory: &Path, own: &Interpreter, cache: &Cache, cancel: &Cancel) -> Result<Interpreter, Fatal> {
    let refused = |reason: String| {
        Fatal::with_code(Code::Usage, format!("The Python in {} cannot be taken: {reason}", directory.display()))
    };
    let bin = std::path::absolute(directory).unwrap_or_default().join("bin");
    let program = bin.join("rwsgi");
    if is_elf(&program) {
        let (its, ours) = (version(&program, cancel)?, version(own.program(), cancel)?);
        if its != ours {
            return Err(refused(format!("its rwsgi is {its}, and this one is {ours}. Install the same into both.")));
        }
        return Interpreter::ask(&program, cache, cancel);
    }
    let names = [format!("python{}", own.facts.version), "python3".to_owned(), "python".to_owned()];
    let Some(python) = names.iter().map(|name| bin.join(name)).find(|path| path.is_file()) else {
        return Err(refused(format!(
            "there is no {}. Name the folder that has bin/python3 in it, of an installation or an environment.",
            bin.join("python3").display()
        )));
    };
    let chosen = own.ask_other(&python, cache, cancel)?;
    fits(&own.facts, &chosen.facts, &python).map_err(refused)?;
    Ok(chosen)
}

/// Says what is in the way of running `its` libpython, or `its` standard library with the Python that this program has in it.
fn fits(own: &Facts, its: &Facts, python: &Path) -> Result<(), String> {
    if own.version != its.version {
        return Err(format!(
            "it is {}, and this rwsgi is for {}. Install rwsgi into it, from rwsgi's sources ({} -m pip install ./python), or name \
             one of {}.",
            its.full_version,
            own.version,
            python.display(),
            own.version
        ));
    }
    if own.linked_in {
        // The standard library's modules and the interpreter's own change together.
        if (&own.full_version, &own.abi) == (&its.full_version, &its.abi) {
            return Ok(());
        }
        let told = |facts: &Facts| format!("{} ({})", facts.full_version, facts.abi.as_deref().unwrap_or("no name"));
        return Err(format!(
            "it is {}, and this rwsgi has {} in it. Install rwsgi into it, from rwsgi's sources ({} -m pip install ./python), \
             or name one of that version.",
            told(its),
            told(own),
            python.display(),
        ));
    }
    let name = |facts: &Facts| facts.libpython.as_deref().and_then(Path::file_name).map(PathBuf::from);
    let wanted = name(own).unwrap_or_default();
    match name(its) {
        Some(found) if found == wanted => Ok(()),
        _ => Err(format!(
            "it has no {}, the shared library that rwsgi runs. Install that (Debian: libpython{}), or build Python with \
             --enable-shared.",
            wanted.display(),
            own.version
        )),
    }
}

/// What a rwsgi says of its own version, without that of its Python.
fn version(program: &Path, cancel: &Cancel) -> Result<String, Fatal> {
    let output = child::run(Command::new(program).arg("--version"), "rwsgi", Vec::new(), cancel, |_| {})?;
    Ok(output.stdout.split(" (").next().unwrap_or_default().trim().trim_start_matches("rwsgi ").to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::fits;
    use crate::image::interpreter::Facts;

    fn facts(version: &str, libpython: Option<&str>) -> Facts {
        let facts = serde_json::json!({
            "version": version, "full_version": format!("{version}.4"), "executable": "", "stdlib": "", "extensions": "",
            "libpython": libpython, "linked_in": false, "abi": "abi", "platlibdir": "lib", "cache_tag": "", "packages": "", "openssl_cafile": "",
            "modules": [], "builtins": [],
        });
        serde_json::from_value(facts).unwrap()
    }

    #[test]
    fn only_the_same_library_can_be_run() {
        let (own, python) = (facts("3.11", Some("/a/libpython3.11.so.1.0")), Path::new("/x/bin/python3"));
        assert_eq!(fits(&own, &facts("3.11", Some("/usr/lib/libpython3.11.so.1.0")), python), Ok(()));
        let newer = fits(&own, &facts("3.12", Some("/b/libpython3.12.so.1.0")), python).unwrap_err();
        assert!(
            newer.starts_with("it is 3.12.4")
                && newer.contains("from rwsgi's sources (/x/bin/python3 -m pip install ./python)"),
            "{newer}"
        );
        for libpython in [None, Some("/b/libpython3.11d.so.1.0")] {
            let other = fits(&own, &facts("3.11", libpython), python).unwrap_err();
            assert!(other.contains("no libpython3.11.so.1.0") && other.contains("--enable-shared"), "{other}");
        }
    }

    #[test]
    fn a_program_with_python_in_it_runs_the_standard_library_of_that_very_version() {
        let python = Path::new("/x/bin/python3");
        let own = Facts { linked_in: true, ..facts("3.11", Some("/a/libpython3.11.so.1.0")) };
        assert_eq!(fits(&own, &facts("3.11", None), python), Ok(()));
        let newer =
            fits(&own, &Facts { full_version: "3.11.9".to_owned(), ..facts("3.11", None) }, python).unwrap_err();
        assert!(newer.starts_with("it is 3.11.9 (abi), and this rwsgi has 3.11.4 (abi) in it."), "{newer}");
        assert!(newer.contains("from rwsgi's sources (/x/bin/python3 -m pip install ./python)"), "{newer}");
        fits(&own, &Facts { abi: Some("other".to_owned()), ..facts("3.11", None) }, python).unwrap_err();
    }
}
