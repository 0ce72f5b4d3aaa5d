//! A handful of quick tests that say whether a build works at all: for CI against the oldest and the newest Python.

use std::process::Command;

use crate::support::{
    Server,
    environment::{run, rwsgi},
};

const FLASK: &str = "
from flask import Flask, Response, request
app = Flask(__name__)

@app.get('/')
def hello():
    return 'Hello from Flask'

@app.post('/echo')
def echo():
    return Response(request.get_data(), content_type='application/octet-stream')

@app.get('/stream')
def stream():
    return Response(str(number) for number in range(1000))

@app.get('/error')
def error():
    raise ValueError('on purpose')
";

#[test]
fn a_flask_app_is_served_and_ends_on_sigterm() {
    let mut server = Server::of(FLASK).args(["app:app", "--threads", "2"]).start();
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), "Hello from Flask");
    let body: Vec<u8> = (0..300_000).map(|index| u8::try_from(index % 256).expect("below 256")).collect();
    assert!(client.post("/echo", &body).body == body);
    let expected: String = (0..1000).map(|number| number.to_string()).collect();
    let streamed = client.get("/stream");
    assert_eq!((streamed.text(), streamed.whole), (expected, true));
    assert_eq!((client.get("/error").status, client.get("/missing").status), (500, 404));
    server.wait_for_log("ValueError: on purpose");
    server.stop();
}

#[test]
fn a_flask_app_that_cannot_be_loaded_ends_with_3_and_one_that_is_not_there_with_4() {
    let ended = Server::of("import flask\nraise ValueError('on purpose')").args(["app:app"]).fail();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("Error: Could not load app:app: ValueError: on purpose\n"), "{}", ended.stderr);
    let ended = Server::of(FLASK).args(["app:missing"]).fail();
    assert_eq!(ended.status.code(), Some(4), "{}", ended.stderr);
}

#[test]
fn packages_with_compiled_parts_and_other_processes_work() {
    let app = "
import json, multiprocessing, sqlite3, ssl, subprocess, sys, threading, zlib
def app(environ, start_response):
    start_response('200 OK', [])
    found = [
        sqlite3.connect(':memory:').execute('select 6 * 7').fetchone()[0],
        subprocess.check_output([sys.executable, '-c', 'print(1)']).decode().strip(),
        multiprocessing.get_context('spawn').Pool(1).map(abs, [-3]),
        zlib.decompress(zlib.compress(b'z')).decode(),
        ssl.create_default_context().verify_mode.name,
    ]
    return [json.dumps(found).encode()]
";
    let mut server = Server::of(app).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), r#"[42, "1", [3], "z", "CERT_REQUIRED"]"#);
    server.stop();
}

/// What the embedded Python says to `code`.
fn python(code: &str) -> String {
    let output = Command::new(rwsgi()).env_remove("VIRTUAL_ENV").args(["python", "-Ic", code]).output();
    let output = output.expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// An extension module that says whether the interpreter whose functions it calls has started.
pub const NAMED: &str = r#"
#include <Python.h>
static PyObject *started(PyObject *self, PyObject *_) { return PyBool_FromLong(Py_IsInitialized()); }
static PyMethodDef methods[] = {{"started", started, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "named", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_named(void) { return PyModule_Create(&module); }
"#;

#[test]
fn an_extension_that_asks_for_libpython_gets_the_interpreter_that_runs() {
    // Most name none. This one brings in the library even where the program has Python's code in it: its functions must be
    // the program's all the same, or it would find an interpreter that has not started.
    let app = "
import named
def app(environ, start_response):
    start_response('200 OK', [])
    with open('/proc/self/maps') as maps:
        return [str((named.started(), 'libpython' in maps.read())).encode()]
";
    let server = Server::of_files(&[("app.py", app), ("named.c", NAMED)]);
    let folder = server.directory().to_owned();
    let flags = "import sysconfig; get = sysconfig.get_config_var; \
                 print(get('INCLUDEPY'), get('LIBDIR'), 'python' + get('LDVERSION'), get('Py_ENABLE_SHARED'))";
    let told = python(flags);
    let [headers, libraries, library, shared] = told.split(' ').collect::<Vec<_>>().try_into().expect("there are four");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-Wl,--no-as-needed", "named.c", "-o", "named.so"]).current_dir(folder);
    compile.arg(format!("-I{headers}"));
    if shared == "1" {
        compile.args([format!("-L{libraries}"), format!("-l{library}"), format!("-Wl,-rpath,{libraries}")]);
    }
    run(&mut compile);
    let mut server = server.args(["app:app"]).start();
    let wanted = if shared == "1" { "(True, True)" } else { "(True, False)" };
    assert_eq!(server.connect().get("/").text(), wanted);
    server.stop();
}
