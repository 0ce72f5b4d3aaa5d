//! Where Python's objects live.

use std::fs;

use crate::support::{
    process,
    server::{LIMIT, Server},
};

const GROWS: &str = "
def depth(left):
    return left and 1 + depth(left - 1)
def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    count = 2_000_000 if environ['PATH_INFO'] == '/many' else 1
    words = [f'{number} {number}' for number in range(count)]
    whole = all(word == f'{number} {number}' for number, word in enumerate(words))
    return [f'{whole} {depth(900)}'.encode()]
";

/// How many pieces of a process's memory are to be on huge pages (proc(5), `VmFlags`).
fn huge(pid: u32) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it runs");
    let flags = maps.lines().filter_map(|line| line.strip_prefix("VmFlags:"));
    flags.filter(|flags| flags.split_whitespace().any(|flag| flag == "hg")).count()
}

#[test]
fn what_is_loaded_is_on_huge_pages_but_not_where_workers_share_it() {
    let server = Server::of(GROWS).args(["app:app"]).start();
    server.connect().get("/");
    assert!(huge(server.worker()) > 0);
    let server = Server::of(GROWS).args(["app:app", "--preload"]).start();
    let both = process::until(LIMIT, || Some(process::children(server.pid())).filter(|found| found.len() == 2));
    let both = both.expect("one process that workers come from, and one worker");
    assert_eq!(both.into_iter().map(huge).sum::<usize>(), 0);
}

#[test]
fn what_requests_take_is_not_lost_and_goes_back_to_the_system() {
    let server = Server::of(GROWS).args(["app:app"]).start();
    server.connect().get("/");
    let before = process::resident_kib(server.worker());
    for _ in 0..3 {
        assert_eq!(server.connect().get("/many").text(), "True 900");
        let after = process::resident_kib(server.worker());
        assert!(after < before + (30 << 10), "{before} KiB grew to {after}; the objects have some 150 MB");
    }
}
