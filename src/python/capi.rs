//! The calls into the C API that PyO3 offers no safe way to make.

use std::{
    ffi::{CStr, CString, OsString, c_int, c_long},
    mem::MaybeUninit,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    ptr,
};

use pyo3::{
    ffi,
    prelude::*,
    types::{PyDict, PyString, PyType},
};

/// The version of the library that is loaded, `3.11.7` say.
pub fn full_version() -> &'static str {
    // SAFETY: Py_GetVersion may be called before the interpreter starts.
    let text = unsafe { ffi::Py_GetVersion() };
    // SAFETY: it returns a static, null-terminated string.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().ok().and_then(|text| text.split(' ').next()).unwrap_or(super::VERSION)
}

/// Behaves as `python` with these arguments (the program's name first) and returns its exit code.
pub fn run_main(args: Vec<OsString>) -> c_int {
    let args = c_strings(args);
    let mut pointers: Vec<_> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    pointers.push(ptr::null_mut());
    // SAFETY: `pointers` holds `count` live C strings and a final null, and Py_BytesMain does not write to them.
    unsafe { ffi::Py_BytesMain(count, pointers.as_mut_ptr()) }
}

/// Starts the interpreter as `executable` would start it, with `args` as `sys.argv`.
///
/// The calling thread becomes Python's main thread and is detached from it on return.
pub fn initialize(executable: &Path, args: Vec<OsString>) -> Result<(), String> {
    let executable = c_strings(vec![executable.as_os_str().to_owned()]);
    let args = c_strings(args);
    let mut pointers: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    let mut config = MaybeUninit::<ffi::PyConfig>::zeroed();
    let config = config.as_mut_ptr();
    // SAFETY: `config` is valid for writes, and this call fills it in.
    unsafe { ffi::PyConfig_InitPythonConfig(config) };
    // SAFETY: the call above has made every field valid, and nothing else refers to them.
    let fields = unsafe { &mut *config };
    fields.parse_argv = 0;
    // Signals are the worker's: Python would turn SIGINT into a KeyboardInterrupt in whatever request runs.
    fields.install_signal_handlers = 0;
    let program_name = &raw mut fields.program_name;
    let count = isize::try_from(pointers.len()).unwrap_or(isize::MAX);
    // SAFETY: `program_name` is a field of `config`, the string is live and null-terminated.
    let mut status = unsafe { ffi::PyConfig_SetBytesString(config, program_name, executable[0].as_ptr()) };
    if !failed(status) {
        // SAFETY: `pointers` holds `count` live C strings, which are copied.
        status = unsafe { ffi::PyConfig_SetBytesArgv(config, count, pointers.as_mut_ptr()) };
    }
    if !failed(status) {
        // SAFETY: the configuration is complete, and the interpreter starts once in a process.
        status = unsafe { ffi::Py_InitializeFromConfig(config) };
    }
    // SAFETY: the interpreter keeps its own copy, and `config` is not used again.
    unsafe { ffi::PyConfig_Clear(config) };
    if failed(status) {
        return Err(message(status));
    }
    // SAFETY: this thread is attached since initialisation. PyO3 attaches it again when it is needed.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(())
}

/// Runs what Python does at its end: waits for its non-daemon threads, then `atexit`. To be called on the main thread.
pub fn finalize() {
    // SAFETY: the thread that initialised Python and was detached by `initialize` attaches again, and stays so.
    unsafe { ffi::PyGILState_Ensure() };
    // SAFETY: attached, on the main thread, and no other thread of ours touches Python from here on.
    unsafe { ffi::Py_FinalizeEx() };
}

/// Which byte code the library understands (`importlib.util.MAGIC_NUMBER`).
pub fn byte_code(_: Python<'_>) -> c_long {
    // SAFETY: attached, so that the interpreter that is asked for it is there.
    unsafe { ffi::PyImport_GetMagicNumber() }
}

/// Runs marshalled byte code, of the version that the library understands, in a module of this name.
pub fn import<'py>(py: Python<'py>, name: &CStr, code: &'static [u8]) -> PyResult<Bound<'py, PyModule>> {
    let length = isize::try_from(code.len()).unwrap_or(isize::MAX);
    // SAFETY: attached, and the pointer is valid for `length` bytes.
    let code = unsafe { ffi::PyMarshal_ReadObjectFromString(code.as_ptr().cast(), length) };
    // SAFETY: a new reference, or null with an exception set.
    let code = unsafe { Bound::from_owned_ptr_or_err(py, code) }?;
    // SAFETY: attached, with null-terminated names and a live code object.
    let module = unsafe { ffi::PyImport_ExecCodeModuleEx(name.as_ptr(), code.as_ptr(), c"<rwsgi>".as_ptr()) };
    // SAFETY: a new reference, or null with an exception set.
    let module = unsafe { Bound::from_owned_ptr_or_err(py, module) }?;
    Ok(module.cast_into()?)
}

fn failed(status: ffi::PyStatus) -> bool {
    // SAFETY: reads the value that it is given.
    unsafe { ffi::PyStatus_Exception(status) != 0 }
}

fn message(status: ffi::PyStatus) -> String {
    if status.err_msg.is_null() {
        return "no reason given".to_owned();
    }
    // SAFETY: a status that is an error points to a static, null-terminated string.
    unsafe { CStr::from_ptr(status.err_msg) }.to_string_lossy().into_owned()
}

/// Arguments of a process hold no null byte, so none is lost here.
fn c_strings(args: Vec<OsString>) -> Vec<CString> {
    args.into_iter().filter_map(|arg| CString::new(arg.into_vec()).ok()).collect()
}

/// Bytes as a `str` of the characters with the same numbers.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    let length = isize::try_from(bytes.len()).unwrap_or(isize::MAX);
    // SAFETY: the pointer is valid for `length` bytes; no error handler is needed, as every byte has a character.
    let text = unsafe { ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), length, ptr::null()) };
    // SAFETY: a new reference to a str, or null when memory is exhausted, which PyO3 turns into a panic.
    let text = unsafe { Bound::from_owned_ptr(py, text) };
    // SAFETY: PyUnicode_DecodeLatin1 returns nothing but a str.
    unsafe { text.cast_into_unchecked() }
}

/// What a dict has for a key. PyO3's own way to it takes twice as long.
pub fn get_item<'py>(dict: &Bound<'py, PyDict>, key: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: both are live.
    let value = unsafe { ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr()) };
    if value.is_null() {
        // An app's own key may fail when it is compared.
        drop(PyErr::take(dict.py()));
    }
    // SAFETY: a borrowed reference to what is in the dict, or null.
    unsafe { Bound::from_borrowed_ptr_or_opt(dict.py(), value) }
}

/// The number that Python knows this thread by.
pub fn thread() -> u64 {
    // SAFETY: needs nothing but a thread.
    unsafe { ffi::PyThread_get_thread_ident() }
}

/// Raises an exception of this class in another thread as soon as that runs Python code; none takes one back that was not
/// raised yet.
pub fn raise_in(_: Python<'_>, thread: u64, class: Option<&Bound<'_, PyType>>) {
    let class = class.map_or(ptr::null_mut(), Bound::as_ptr);
    // SAFETY: attached, and `class` is null or a live class, to which the thread takes a reference of its own.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread.cast_signed(), class) };
}

/// How many references there are to an object.
pub fn references(object: &Bound<'_, PyAny>) -> isize {
    // SAFETY: reads the count of a live object, which changes on no other thread while this one is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) }
}

/// Whether there are weak references to a function or a method that is not written in Python.
pub fn has_weak_references(function: &Bound<'_, PyAny>) -> bool {
    let object = function.as_ptr();
    // SAFETY: reads the type of a live object.
    if unsafe { ffi::PyCFunction_CheckExact(object) } == 0 {
        return true;
    }
    let function = object.cast::<ffi::PyCFunctionObject>();
    // SAFETY: this is the layout of the objects of exactly that type, and this thread is attached.
    !unsafe { (*function).m_weakreflist }.is_null()
}
