//! The arbiter and its workers as processes: how they come, go, and follow their configuration.

mod ending;
mod output;
mod reload;
mod service;
mod stuck;
mod upgrade;
mod watching;
mod workers;

use std::time::{Duration, Instant};

use crate::support::{Server, process};

/// What takes longer may be what is killed in the end: so long a worker has to finish (`--graceful-timeout`).
const PROMPT: Duration = Duration::from_secs(30);

/// Waits in `/wait` until there is a file `go` beside it.
const WAITS: &str = "
import os, time
def app(environ, start_response):
    start_response('200 OK', [])
    if environ['PATH_INFO'] == '/wait':
        print('waiting', flush=True)
        while not os.path.exists('go'):
            time.sleep(0.005)
    return [b'alive']
";

/// Whether this comes to hold before anything is killed for it.
fn promptly(condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    process::holds(condition) && begin.elapsed() < PROMPT
}

/// Waits until a server has exactly so many children, and returns them.
#[track_caller]
fn children(server: &Server, count: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let seen = promptly(|| {
        found = process::children(server.pid());
        found.len() == count
    });
    assert!(seen, "not {count} children, but {found:?}:\n{}", server.stderr());
    found
}

/// Waits for a process to end.
#[track_caller]
fn ends(pid: u32) {
    assert!(promptly(|| !process::is_alive(pid)), "process {pid} goes on");
}

/// Waits until the server answers with this text.
#[track_caller]
fn answers(server: &Server, text: &str) {
    let answered = process::holds(|| server.connect().get("/").text() == text);
    assert!(answered, "{text:?} is never answered:\n{}", server.stderr());
}

/// Writes a file in one step: whoever reads it just then finds the old text or the new one.
fn write(server: &Server, name: &str, text: &str) {
    let beside = server.directory().join("being-written");
    std::fs::write(&beside, text).expect("the file can be written");
    std::fs::rename(beside, server.directory().join(name)).expect("the file can be replaced");
}

fn read(server: &Server, name: &str) -> String {
    std::fs::read_to_string(server.directory().join(name)).unwrap_or_default()
}

/// An app that answers with this text, and leaves a file when it is loaded. Texts have different lengths, so that Python
/// does not take its cache for it.
fn saying(text: &str) -> String {
    format!(
        "import os
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'{text}']
open(f'loaded-{{os.getpid()}}', 'w').close()
"
    )
}

/// Waits until so many processes have loaded what [`saying`] makes.
#[track_caller]
fn loaded(server: &Server, count: usize) {
    let is_mark = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("loaded-");
    let seen = process::holds(|| {
        let files = std::fs::read_dir(server.directory()).expect("the folder is there");
        files.filter(|file| file.as_ref().is_ok_and(|file| is_mark(&file.file_name()))).count() == count
    });
    assert!(seen, "it is not loaded {count} times:\n{}", server.stderr());
}

/// With permissions that a terminal may well have.
const CAREFUL: [&str; 4] = ["sh", "-c", "umask 077 && exec \"$@\"", "sh"];

/// Starts a daemon, and waits until its app is loaded. Its id and the address that it listens at.
fn daemon(args: &[&str]) -> (Server, process::Guard, String) {
    let app = "import os\nopen('umask', 'w').write(str(os.umask(0o22)))\nprint('printed', flush=True)\n";
    let args = [&["app:app", "--daemon", "--pid", "app.pid", "--error-logfile", "error.log"], args].concat();
    let mut server = Server::of(&format!("{app}{}", saying("alive"))).args(args).under(CAREFUL).start_quietly();
    let status = server.wait_status();
    assert!(status.success(), "{status}: {}", server.stderr());
    let pid = process::until(|| read(&server, "app.pid").trim().parse().ok()).expect("it writes its id");
    let booted = process::until(|| read(&server, "umask").parse::<u32>().ok());
    assert_eq!(booted, Some(0o22), "as gunicorn's daemons have it: {}", read(&server, "error.log"));
    let log = read(&server, "error.log");
    let address = log.split("Listening at: http://").nth(1).and_then(|rest| rest.split(' ').next());
    (server, process::Guard(pid), address.expect("the log says where").to_owned())
}
