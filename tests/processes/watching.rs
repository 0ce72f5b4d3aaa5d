//! `--reload`: workers follow the files that their app is made of.

use super::{answers, children, ends, saying, write};
use crate::support::{Server, process};

const APP: &str = "
import helper, pathlib
PAGE = pathlib.Path('page.txt').read_text()
def app(environ, start_response):
    start_response('200 OK', [])
    return [f'{helper.WORD} {PAGE}'.encode()]
";

fn server(args: &[&str]) -> Server {
    let files = [("app.py", APP), ("helper.py", "WORD = 'one'"), ("page.txt", "page")];
    let server = Server::of_files(&files).args(["app:app", "--reload"]).args(args.iter().copied()).start();
    answers(&server, "one page");
    server
}

/// Waits for so many workers that watch: beside the app's thread and that of the connections each has one more.
fn watching(server: &Server, count: usize) -> Vec<u32> {
    // Old workers may be gone by the time that they are looked at.
    let threads = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let found = process::until(|| {
        let found = process::children(server.pid());
        (found.len() == count && found.iter().all(|pid| threads(*pid) == 3)).then_some(found)
    });
    found.unwrap_or_else(|| panic!("not {count} workers watch:\n{}", server.stderr()))
}

#[test]
fn code_and_further_files_that_change_are_followed() {
    for engine in [&[][..], &["--reload-engine", "inotify"], &["--reload-engine", "poll"]] {
        let mut server = server(&[&["-w", "2", "--reload-extra-file", "*.txt"], engine].concat());
        let before = watching(&server, 2);
        write(&server, "helper.py", "WORD = 'three'");
        before.into_iter().for_each(ends);
        answers(&server, "three page");
        server.wait_for_log("/helper.py modified");
        let before = watching(&server, 2);
        write(&server, "page.txt", "paragraph");
        before.into_iter().for_each(ends);
        answers(&server, "three paragraph");
        server.stop();
    }
}

#[test]
fn code_that_is_broken_leaves_the_workers_until_it_is_mended() {
    let mut server = server(&[]);
    let before = watching(&server, 1);
    write(&server, "helper.py", "WORD = \n");
    server.wait_for_log("SyntaxError");
    server.wait_for_log("The next attempt is in 4 s.");
    assert_eq!(children(&server, 1), before);
    answers(&server, "one page");
    write(&server, "helper.py", "WORD = 'mended'");
    answers(&server, "mended page");
    before.into_iter().for_each(ends);
    server.stop();
}

#[test]
fn without_it_nothing_is_followed_and_with_preload_it_says_so() {
    for (args, says) in [(&[][..], "Booting"), (&["--reload", "--preload"], "reload has nothing to do: code that was")]
    {
        let mut server = Server::of(&saying("first")).args(["app:app"]).args(args.iter().copied()).start();
        server.wait_for_log(says);
        answers(&server, "first");
        assert_eq!(process::threads(*children(&server, 1 + args.len() / 2).last().expect("a worker")), 2);
        server.stop();
    }
}
