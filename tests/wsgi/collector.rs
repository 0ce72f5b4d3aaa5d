//! Python's garbage collector, as the server sets it.

use crate::support::server::Server;

const TELLS: &str = "
import gc
FIRST = gc.get_threshold()[0]
def app(environ, start_response):
    start_response('200 OK', [])
    return [f'{FIRST} {gc.get_threshold()[0]} {gc.get_freeze_count() > 1000}'.encode()]
";

fn told(app: &str, args: &[&str]) -> (i32, i32, bool) {
    let server = Server::of(app).args(["app:app"]).args(args.iter().copied()).start();
    let text = server.connect().get("/").text();
    let parts: Vec<_> = text.split(' ').collect();
    (parts[0].parse().expect("a number"), parts[1].parse().expect("a number"), parts[2] == "True")
}

#[test]
fn what_is_loaded_is_left_alone_and_cycles_are_looked_for_less_often() {
    for args in [&[][..], &["--preload"], &["--threads", "3"]] {
        let (first, now, frozen) = told(TELLS, args);
        assert_eq!((now, frozen), (10_000, true), "{args:?}");
        assert!(first < now, "the app is loaded with Python's own");
    }
    assert_eq!(told(TELLS, &["--gc-threshold", "5000"]).1, 5_000);
}

#[test]
fn the_app_has_the_last_word() {
    assert_eq!(told(&format!("{TELLS}gc.set_threshold(123)\n"), &[]).1, 123);
}

#[test]
fn zero_leaves_it_as_python_has_it() {
    let (first, now, frozen) = told(TELLS, &["--gc-threshold", "0"]);
    assert_eq!((first == now, frozen), (true, false));
}

#[test]
fn a_file_that_keeps_its_wrapper_is_collected() {
    let app = "
import gc, weakref
alive = weakref.WeakSet()
class File:
    def read(self, size=-1):
        return b''
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/count':
        gc.collect()
        return [str(len(alive)).encode()]
    file = File()
    alive.add(file)
    file.wrapper = environ['wsgi.file_wrapper'](file)
    return file.wrapper
";
    let server = Server::of(app).args(["app:app"]).start();
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(client.get("/count").text(), "0");
}
