//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use std::fs::File;

use pyo3::{PyTraverseError, PyVisit, prelude::*, sync::PyOnceLock, types::PyBytes};

use crate::sys;

/// An iterable over a file's content. Holds nothing but the file: it is read as the client takes it.
#[pyclass(frozen, name = "FileWrapper", module = "rwsgi")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

impl FileWrapper {
    /// The file on the disk that this reads, where it is what `open` returns for reading bytes: a descriptor of its own,
    /// from where it is to be read on, and how many bytes there are. Others may have a descriptor too, but what they read
    /// is not what is in the file (`gzip.GzipFile`, say).
    pub fn file(&self, py: Python<'_>) -> Option<(File, u64, u64)> {
        static KINDS: PyOnceLock<[Py<PyAny>; 3]> = PyOnceLock::new();
        let kinds = KINDS.get_or_try_init(py, || {
            let io = py.import("io")?;
            let kind = |name| io.getattr(name).map(Bound::unbind);
            PyResult::Ok([kind("FileIO")?, kind("BufferedReader")?, kind("BufferedRandom")?])
        });
        let [raw, buffered @ ..] = kinds.ok()?;
        let filelike = self.filelike.bind(py);
        let is = |object: &Bound<'_, PyAny>, kind: &Py<PyAny>| object.get_type().is(kind.bind(py));
        let is_file = is(filelike, raw)
            || buffered.iter().any(|kind| is(filelike, kind))
                && filelike.getattr("raw").is_ok_and(|beneath| is(&beneath, raw));
        if !is_file {
            return None;
        }
        if is(filelike, &buffered[1]) {
            // It may hold what was written and is not in the file yet.
            filelike.call_method0("flush").ok()?;
        }
        let number: i32 = filelike.call_method0("fileno").ok()?.extract().ok()?;
        let offset: u64 = filelike.call_method0("tell").ok()?.extract().ok()?;
        let file = sys::duplicate(number).ok()?;
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        // One that says that it is empty may have content all the same (those in /proc do): only reading it tells.
        let length = Some(metadata.len()).filter(|length| *length > 0)?;
        Some((file, offset, length.saturating_sub(offset)))
    }
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.filelike)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1("read", (self.blksize,))?;
        let end = block
            .cast::<PyBytes>()
            .map_or_else(|_| block.is_truthy().map(|some| !some), |bytes| Ok(bytes.as_bytes().is_empty()))?;
        Ok((!end).then_some(block))
    }

    /// Closes the file, where it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
