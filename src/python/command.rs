//! rwsgi as `python`: a container made by `rwsgi dockerize` holds one executable, and `python` in it is a link to it.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{capi, environment};
use crate::{exit::Fatal, sys};

/// Whether the program was called by a name of Python's (`python`, `python3`, `python3.11`).
fn called_as_python(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_prefix("python").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// `args` for the `python` that was run, if one was: its own name is the first of them, whatever the caller has put there.
pub fn as_executed(args: &[OsString]) -> Option<Vec<OsString>> {
    if args.first().is_some_and(|program| called_as_python(program)) {
        return Some(args.to_vec());
    }
    let executed = sys::executed().filter(|path| called_as_python(path.as_os_str()))?;
    Some(std::iter::once(executed.into_os_string()).chain(args.iter().skip(1).cloned()).collect())
}

/// Behaves as the `python` that it was called as, and returns its exit code.
pub fn run_as_called(args: Vec<OsString>) -> i32 {
    capi::run_main(args)
}

/// Behaves as the `python` of the environment in use, with `args` after its name, and returns its exit code.
///
/// # Errors
/// No environment of the right version.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<i32, Fatal> {
    let interpreter = environment::interpreter(None)?;
    Ok(capi::run_main(std::iter::once(interpreter.into_os_string()).chain(args).collect()))
}

#[cfg(test)]
mod tests {
    use super::called_as_python;

    #[test]
    fn only_python_and_its_versioned_names_mean_python() {
        for name in ["python", "/usr/local/bin/python3", "python3.11"] {
            assert!(called_as_python(name.as_ref()), "{name}");
        }
        for name in ["rwsgi", "pythonic", "/python3/rwsgi", ""] {
            assert!(!called_as_python(name.as_ref()), "{name}");
        }
    }
}
