//! PyPI's httpbin, a Flask app that no one here wrote, served natively and asked by clients that no one here wrote.

use std::process::Command;

use crate::support::{Server, environment, httpbin};

fn server() -> Server {
    Server::of("").args(["httpbin:app", "--threads", "2"]).start()
}

#[test]
fn curl_and_requests_get_the_answers_that_they_should() {
    let mut server = server();
    let transcript = httpbin::transcript(&server.url(""));
    let missing: Vec<_> = httpbin::EXPECTED.iter().filter(|expected| !transcript.contains(**expected)).collect();
    assert!(missing.is_empty(), "{missing:#?} are missing from\n{transcript}");
    let ended = server.stop();
    assert!(!ended.stderr.contains("[ERROR]"), "{}", ended.stderr);
}

#[test]
fn the_transcript_is_the_same_each_time() {
    let server = server();
    assert_eq!(httpbin::transcript(&server.url("")), httpbin::transcript(&server.url("")));
}

#[test]
fn requests_own_session_of_checks_passes() {
    let server = server();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/httpbin/checks.py");
    environment::run(Command::new(environment::venv().join("bin/python")).args([script, &server.url("")]));
}
