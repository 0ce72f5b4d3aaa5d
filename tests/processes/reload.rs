//! `HUP`: new code and new configuration take over, or leave everything as it was.

use super::{answers, children, ends, loaded, read, saying, write};
use crate::support::{Client, Server, process};

const BROKEN: [(&str, &str); 3] = [
    ("raise ValueError('on purpose')\n", "ValueError: on purpose"),
    ("def app(\n", "SyntaxError"),
    ("\n\n\n\n", "Failed to find attribute 'app' in 'app'."),
];

#[test]
fn broken_code_leaves_the_old_workers_serving_until_it_is_mended() {
    for mode in [&[][..], &["--preload"]] {
        let mut server = Server::of(&saying("first")).args(["app:app", "-w", "2"]).args(mode.iter().copied()).start();
        answers(&server, "first");
        // One that still boots would find the broken code.
        loaded(&server, 2 - mode.len());
        let before = children(&server, 2 + mode.len());
        for (count, (code, reason)) in BROKEN.into_iter().enumerate() {
            write(&server, "app.py", code);
            server.signal("HUP");
            server.wait_for_logs("The reload failed: ", count + 1);
            server.wait_for_log(reason);
            assert_eq!(children(&server, 2 + mode.len()), before, "{}", server.stderr());
            answers(&server, "first");
        }
        write(&server, "app.py", &saying("mended"));
        server.signal("HUP");
        server.wait_for_log("The reload is done");
        answers(&server, "mended");
        before.into_iter().for_each(ends);
        children(&server, 2 + mode.len());
        server.stop();
    }
}

#[test]
fn after_a_reload_that_failed_a_template_still_makes_workers_of_the_old_code() {
    let mut server = Server::of(&saying("first")).args(["app:app", "--preload"]).start();
    answers(&server, "first");
    write(&server, "app.py", "raise ValueError('on purpose')\n");
    server.signal("HUP");
    server.wait_for_log("The reload failed: ");
    server.signal("TTIN");
    server.wait_for_logs("Booting worker", 2);
    children(&server, 3);
    answers(&server, "first");
    server.stop();
}

#[test]
fn a_changed_configuration_file_is_followed() {
    let files = [("app.py", &*saying("alive")), ("gunicorn.conf.py", "bind = '127.0.0.1:0'\n")];
    let mut server = Server::of_files(&files).without_bind().args(["app:app"]).start();
    answers(&server, "alive");
    let (tcp, unix) = (server.address().to_owned(), format!("unix:{}/app.sock", server.directory().display()));
    write(&server, "gunicorn.conf.py", "bind = ['127.0.0.1:0', 'unix:app.sock']\nworkers = 3\ntimeout = 7\n");
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    children(&server, 3);
    for address in [&tcp, &unix] {
        assert_eq!(Client::connect(address).get("/").text(), "alive", "{address}");
    }
    write(&server, "gunicorn.conf.py", "bind = 'unix:app.sock'\nworkers = 1\n");
    server.signal("HUP");
    server.wait_for_logs("The reload is done", 2);
    children(&server, 1);
    assert_eq!(Client::connect(&unix).get("/").text(), "alive");
    assert!(std::net::TcpStream::connect(&tcp).is_err(), "nobody listens there any more");
    server.stop();
    assert!(!server.directory().join("app.sock").exists());
}

#[test]
fn a_broken_configuration_file_changes_nothing() {
    let files = [("app.py", &*saying("alive")), ("gunicorn.conf.py", "workers = 2\n")];
    let mut server = Server::of_files(&files).args(["app:app"]).start();
    answers(&server, "alive");
    let before = children(&server, 2);
    for (count, (text, reason)) in [
        ("workers = \n", "SyntaxError"),
        ("raise ValueError('on purpose')\n", "ValueError: on purpose"),
        ("workers = 'many'\n", "neither a whole number from 1 nor auto"),
        ("import os\nos._exit(3)\n", "gunicorn.conf.py"),
        ("errorlog = '/no/such/folder/error.log'\n", "/no/such/folder"),
    ]
    .into_iter()
    .enumerate()
    {
        write(&server, "gunicorn.conf.py", text);
        server.signal("HUP");
        server.wait_for_logs("The reload failed, and the old workers go on serving: ", count + 1);
        let said = server.stderr();
        let said = said.rsplit_once("The reload failed").expect("it is there").1;
        assert!(said.contains(reason), "{text:?}: {said}");
        assert_eq!(children(&server, 2), before);
        answers(&server, "alive");
    }
    write(&server, "gunicorn.conf.py", "workers = 1\n");
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    children(&server, 1);
    server.stop();
}

#[test]
fn an_address_that_cannot_be_had_leaves_the_old_ones() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = held.local_addr().expect("it listens");
    let files = [("app.py", &*saying("alive")), ("gunicorn.conf.py", "bind = 'unix:one.sock'\n")];
    let mut server = Server::of_files(&files).without_bind().args(["app:app"]).start();
    write(&server, "gunicorn.conf.py", &format!("bind = ['unix:two.sock', '{taken}']\n"));
    server.signal("HUP");
    server.wait_for_log(&format!("Cannot listen at {taken}: the address is in use."));
    let at = |name: &str| format!("unix:{}/{name}", server.directory().display());
    assert_eq!(Client::connect(&at("one.sock")).get("/").text(), "alive");
    assert!(!server.directory().join("two.sock").exists(), "what was opened is closed again");
    server.stop();
}

#[test]
fn a_new_address_with_broken_code_leaves_the_old_ones_to_workers_that_come_later() {
    let files = [("app.py", &*saying("alive")), ("gunicorn.conf.py", "bind = 'unix:one.sock'\n")];
    let mut server = Server::of_files(&files).without_bind().args(["app:app", "--preload"]).start();
    let at = |name: &str| format!("unix:{}/{name}", server.directory().display());
    assert_eq!(Client::connect(&at("one.sock")).get("/").text(), "alive");
    write(&server, "gunicorn.conf.py", "bind = 'unix:two.sock'\n");
    write(&server, "app.py", "raise ValueError('on purpose')\n");
    server.signal("HUP");
    server.wait_for_log("The reload failed: ");
    assert!(server.directory().join("one.sock").exists(), "{}", server.stderr());
    assert!(!server.directory().join("two.sock").exists());
    let workers = children(&server, 2);
    process::signal(*workers.last().expect("two"), "KILL");
    server.wait_for_logs("Booting worker", 2);
    assert_eq!(Client::connect(&at("one.sock")).get("/").text(), "alive");
    write(&server, "app.py", &saying("mended"));
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    assert_eq!(Client::connect(&at("two.sock")).get("/").text(), "mended");
    assert!(!server.directory().join("one.sock").exists());
    server.stop();
    assert!(!server.directory().join("two.sock").exists());
}

#[test]
fn a_pid_file_that_moves_in_the_configuration_moves() {
    let files = [("app.py", &*saying("alive")), ("gunicorn.conf.py", "pidfile = 'one.pid'\n")];
    let mut server = Server::of_files(&files).args(["app:app"]).start();
    answers(&server, "alive");
    assert_eq!(read(&server, "one.pid"), format!("{}\n", server.pid()));
    write(&server, "gunicorn.conf.py", "pidfile = 'two.pid'\n");
    write(&server, "app.py", "raise ValueError('on purpose')\n");
    server.signal("HUP");
    server.wait_for_log("The reload failed: ");
    assert_eq!(read(&server, "one.pid"), format!("{}\n", server.pid()), "one that fails changes nothing");
    assert!(!server.directory().join("two.pid").exists());
    write(&server, "app.py", &saying("mended"));
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    assert_eq!(read(&server, "two.pid"), format!("{}\n", server.pid()));
    assert!(!server.directory().join("one.pid").exists());
    server.stop();
    assert!(!server.directory().join("two.pid").exists());
}

#[test]
fn a_directory_that_is_a_link_is_followed_to_another_release() {
    let files = [("r1/app.py", saying("first")), ("r2/app.py", saying("second one"))];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let builder = Server::of_files(&files).args(["app:app"]).under(["sh", "-c", "cd current && exec \"$0\" \"$@\""]);
    let link = builder.directory().join("current");
    std::os::unix::fs::symlink("r1", &link).expect("a link");
    let server = builder.start();
    answers(&server, "first");
    std::fs::remove_file(&link).expect("it is there");
    std::os::unix::fs::symlink("r2", &link).expect("a link");
    server.signal("HUP");
    answers(&server, "second one");
}

#[test]
fn a_reload_that_fails_leaves_the_release_that_serves_and_its_log() {
    fails_and_leaves("", 1);
    // Workers are then made by a process that is there already.
    fails_and_leaves("def post_fork(server, worker):\n    pass\n", 2);
}

/// Fails to reload, with these hooks, by which the arbiter has so many children.
fn fails_and_leaves(hooks: &str, processes: usize) {
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = held.local_addr().expect("it listens");
    let conf = "errorlog = 'error.log'\nbind = ['unix:app.sock'";
    let files = [
        ("r1/app.py", saying("first")),
        ("r1/gunicorn.conf.py", format!("{conf}]\n{hooks}")),
        ("r2/app.py", "raise ValueError('on purpose')".to_owned()),
        ("r2/gunicorn.conf.py", format!("{conf}]\n{hooks}")),
        ("r3/app.py", saying("third")),
        ("r3/gunicorn.conf.py", format!("{conf}, '{taken}']\n{hooks}")),
    ];
    let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let builder = Server::of_files(&files).without_bind().args(["app:app"]);
    let builder = builder.under(["sh", "-c", "cd current && exec \"$0\" \"$@\""]);
    let link = builder.directory().join("current");
    std::os::unix::fs::symlink("r1", &link).expect("a link");
    let mut server = builder.start_quietly();
    let address = format!("unix:{}/r1/app.sock", server.directory().display());
    assert!(process::holds(|| read(&server, "r1/error.log").contains("Booting worker")), "{}", server.stderr());
    assert_eq!(Client::connect(&address).get("/").text(), "first");
    for (count, release) in ["r2", "r3"].into_iter().enumerate() {
        std::fs::remove_file(&link).expect("it is there");
        std::os::unix::fs::symlink(release, &link).expect("a link");
        server.signal("HUP");
        let failed = || read(&server, "r1/error.log").matches("The reload failed").count() == count + 1;
        assert!(process::holds(failed), "{release}: {}", read(&server, &format!("{release}/error.log")));
        let worker = children(&server, processes).pop().expect("the worker is the last");
        process::signal(worker, "KILL");
        ends(worker);
        assert_eq!(Client::connect(&address).get("/").text(), "first", "{release}");
    }
    server.stop();
}
