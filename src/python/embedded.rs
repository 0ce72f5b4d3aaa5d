//! rwsgi's own Python modules, which the build has compiled for the version of Python that is embedded.

use std::ffi::CStr;

use pyo3::{exceptions::PyImportError, prelude::*};

use super::capi;

/// Which byte code the build has made (`importlib.util.MAGIC_NUMBER`).
const BYTE_CODE: &str = env!("BUILD_BYTE_CODE");

/// A module of `python/`, by the name of its file.
macro_rules! embedded {
    ($name:literal) => {
        $crate::python::embedded::Embedded {
            name: pyo3::ffi::c_str!(concat!("_rwsgi_", $name)),
            code: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".marshal")),
        }
    };
}
pub(super) use embedded;

/// A compiled module.
pub struct Embedded {
    /// What it is called in `sys.modules`.
    pub name: &'static CStr,
    /// Its code, marshalled.
    pub code: &'static [u8],
}

impl Embedded {
    /// Runs it, in a module of its own.
    ///
    /// # Errors
    /// What it raises; or the library is of another Python than rwsgi was built for, which only versions before a release
    /// can be.
    pub fn import<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyModule>> {
        compare(&capi::byte_code(py).to_string()).map_err(PyImportError::new_err)?;
        capi::import(py, self.name, self.code)
    }
}

fn compare(byte_code: &str) -> Result<(), String> {
    if byte_code == BYTE_CODE {
        return Ok(());
    }
    Err(format!("rwsgi was built for byte code {BYTE_CODE}, and this Python has {byte_code}; build rwsgi again"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn byte_code_of_another_python_is_refused_and_not_run() {
        let reason = super::compare("1").expect_err("no Python has that");
        assert!(reason.contains("build rwsgi again"), "{reason}");
        assert_eq!(super::compare(super::BYTE_CODE), Ok(()));
    }
}
