//! rwsgi as `python`: a container made by `rwsgi dockerize` holds one executable, and `python` in it is a link to it.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

use super::{capi, environment};
use crate::exit::Fatal;

/// Whether the program was called by a name of Python's (`python`, `python3`, `python3.11`).
pub fn called_as_python(program: &OsStr) -> bool {
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    name.strip_prefix("python").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
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
