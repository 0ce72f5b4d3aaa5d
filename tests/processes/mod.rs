//! The arbiter and its workers as processes: how they come, go, and follow their configuration.

mod reload;
mod service;
mod stuck;
mod watching;
mod workers;

use std::time::Duration;

use crate::support::{Server, process};

/// What takes longer than this waits for something that never comes.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a server has exactly so many children, and returns them.
#[track_caller]
fn children(server: &Server, count: usize) -> Vec<u32> {
    let found = process::until(LIMIT, || Some(process::children(server.pid())).filter(|found| found.len() == count));
    found.unwrap_or_else(|| {
        panic!("not {count} children, but {:?}:\n{}", process::children(server.pid()), server.stderr())
    })
}

/// Waits for a process to end.
#[track_caller]
fn ends(pid: u32) {
    assert!(process::until(LIMIT, || (!process::is_alive(pid)).then_some(())).is_some(), "process {pid} goes on");
}

/// Waits until the server answers with this text.
#[track_caller]
fn answers(server: &Server, text: &str) {
    let answered = process::until(LIMIT, || (server.connect().get("/").text() == text).then_some(()));
    assert!(answered.is_some(), "{text:?} is never answered:\n{}", server.stderr());
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

/// An app that answers with this text. Texts of different lengths, so that Python does not take its cache for it.
fn saying(text: &str) -> String {
    format!("def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{text}']\n")
}
