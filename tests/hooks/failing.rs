//! Hooks that raise.

use super::{NOTE, rewrite, seen, server, until_seen};
use crate::support::process;

#[test]
fn what_raises_before_anything_serves_ends_the_server_with_its_traceback() {
    for (hook, arguments, code) in [
        ("nworkers_changed", "server, new, old", 1),
        ("on_starting", "server", 1),
        ("when_ready", "server", 1),
        ("pre_fork", "server, worker", 1),
        ("post_fork", "server, worker", 3),
        ("post_worker_init", "worker", 3),
    ] {
        for preload in ["False", "True"] {
            let conf = format!("preload_app = {preload}\ndef {hook}({arguments}):\n    raise ValueError('on purpose')");
            let ended = server(&conf).fail();
            assert_eq!(ended.status.code(), Some(code), "{hook}\n{}", ended.stderr);
            let said = [hook, "ValueError: on purpose", &format!("gunicorn.conf.py\", line 7, in {hook}")];
            assert!(said.iter().all(|text| ended.stderr.contains(text)), "{hook}\n{}", ended.stderr);
            assert_eq!(ended.stderr.matches("Traceback").count(), 1, "{hook}\n{}", ended.stderr);
        }
    }
}

#[test]
fn a_file_that_fails_only_in_the_process_of_its_hooks_ends_the_server() {
    let conf = "import os\nif os.path.exists('twice'): 1/0\nopen('twice', 'w').close()\ndef on_exit(server): pass";
    let ended = server(conf).fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("ZeroDivisionError"), "{}", ended.stderr);
}

#[test]
fn what_raises_later_is_logged_and_the_server_goes_on() {
    let conf = "
def fail(name):
    note(name)
    raise ValueError(name + ' on purpose')
def nworkers_changed(server, new, old):
    if old: fail('nworkers_changed')
def pre_fork(server, worker):
    if worker.age == 3: fail('pre_fork')
def post_worker_init(worker): note('init', worker.pid)
def child_exit(server, worker): fail('child_exit')
def worker_exit(server, worker): fail('worker_exit')
def worker_int(worker): fail('worker_int')
def pre_exec(server): fail('pre_exec')
def on_exit(server): fail('on_exit')
def post_fork(server, worker): note('forked', worker.pid)
";
    let mut server = server(conf).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    server.signal("TTIN");
    until_seen(&server, "forked", 2);
    let pid = super::number(&until_seen(&server, "forked", 2));
    until_seen(&server, &format!("init {pid}"), 1);
    process::signal(pid, "QUIT");
    // The next worker is the one whose pre_fork raises, so there is one more try.
    until_seen(&server, "forked", 3);
    server.signal("USR2");
    server.wait_for_log("The new binary is not started");
    assert_eq!(server.connect().get("/").text(), "hello");
    let ended = server.stop();
    for hook in ["nworkers_changed", "pre_fork", "child_exit", "worker_exit", "worker_int", "pre_exec", "on_exit"] {
        assert!(ended.stderr.contains(&format!("Exception in the hook {hook}\n")), "{hook}\n{}", ended.stderr);
        assert!(ended.stderr.contains(&format!("ValueError: {hook} on purpose")), "{hook}\n{}", ended.stderr);
    }
}

#[test]
fn a_request_whose_hook_raises_is_a_500_and_one_whose_last_hook_raises_is_answered() {
    let conf = "
def pre_request(worker, req):
    if req.path == '/before': raise ValueError('before')
def post_request(worker, req, environ, resp):
    note(req.path, environ.get('PATH_INFO'), resp and resp.status)
    if req.path == '/after': raise ValueError('after')
";
    for threads in ["1", "3"] {
        let server = server(conf).args(["--threads", threads]).start();
        assert_eq!(server.connect().get("/before").status, 500);
        server.wait_for_log("Error handling request GET /before");
        server.wait_for_log("ValueError: before");
        assert_eq!(server.connect().get("/after").text(), "hello");
        server.wait_for_log("ValueError: after");
        assert!(server.stderr().contains("Exception in post_request hook"), "{}", server.stderr());
        assert_eq!(seen(&server), ["/before None None", "/after /after 200 OK"]);
    }
}

#[test]
fn what_is_not_there_is_named() {
    let conf = "def on_starting(server): server.spawn_worker()";
    let ended = server(conf).fail();
    assert!(ended.stderr.contains("rwsgi's server has no attribute 'spawn_worker'"), "{}", ended.stderr);
    let conf = "def on_starting(server): server.num_workers = 3";
    let ended = server(conf).fail();
    let said = "does not follow a hook that sets num_workers: name the setting workers in the file";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    let conf = "def post_fork(server, worker): worker.of_ones_own = 1; worker.max_requests = 3";
    let ended = server(conf).fail();
    assert!(ended.stderr.contains("does not follow a hook that sets max_requests: "), "{}", ended.stderr);
    let conf = "def on_starting(server): server.cfg.nonsense";
    let ended = server(conf).fail();
    assert!(ended.stderr.contains("No configuration setting for: nonsense"), "{}", ended.stderr);
}

#[test]
fn a_reload_takes_new_hooks_and_one_that_fails_keeps_the_old() {
    let conf = |name: &str| {
        format!(
            "
def child_exit(server, worker): note('{name} child_exit', worker.age)
def post_fork(server, worker): note('{name} post_fork', worker.pid)
def on_reload(server): note('{name} on_reload')
def on_exit(server): note('{name} on_exit')
"
        )
    };
    let mut server = server(&conf("first")).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    let broken = [
        ("def on_exit(server): (", "SyntaxError"),
        ("def on_reload(server): raise ValueError('at the reload')", "at the reload"),
        ("def nworkers_changed(server, new, old): raise ValueError('at the change')", "at the change"),
        ("def pre_fork(server, worker): raise ValueError('at the fork')", "at the fork"),
        ("def post_fork(server, worker): raise ValueError('in the worker')", "in the worker"),
    ];
    for (tried, (broken, reason)) in broken.iter().enumerate() {
        rewrite(&server, broken);
        server.signal("HUP");
        server.wait_for_log(reason);
        server.wait_for_logs("The reload failed", tried + 1);
        assert_eq!(server.connect().get("/").text(), "hello");
    }
    // The old hooks still see to the old worker, and to the next one.
    let pid = super::number(&until_seen(&server, "first post_fork", 1));
    process::signal(pid, "KILL");
    until_seen(&server, "first child_exit 1", 1);
    until_seen(&server, "first post_fork", 2);
    rewrite(&server, &conf("second"));
    server.signal("HUP");
    until_seen(&server, "second child_exit", 1);
    assert_eq!(server.connect().get("/").text(), "hello");
    // Without hooks, the workers come from the arbiter again.
    std::fs::write(server.directory().join("gunicorn.conf.py"), NOTE).expect("it can be written");
    server.signal("HUP");
    server.wait_for_logs("The reload is done", 2);
    assert!(process::holds(|| process::children(server.pid()).len() == 1), "{:?}", process::children(server.pid()));
    server.stop();
    let lines = seen(&server);
    assert!(lines.iter().any(|line| line == "second on_reload") && !lines.iter().any(|line| line.ends_with("on_exit")));
}

#[test]
fn the_server_outlives_the_process_of_its_hooks() {
    let conf = "
import os
def on_starting(server): note('starting', os.getpid())
def post_fork(server, worker): note('forked', worker.age, worker.pid)
def on_exit(server): note('end')
";
    let mut server = server(conf).start();
    let hooks = super::number(&until_seen(&server, "starting", 1));
    process::signal(hooks, "KILL");
    server.wait_for_log(&format!("The process of the hooks (pid: {hooks}) has ended."));
    assert_eq!(server.connect().get("/").text(), "hello");
    process::signal(super::number(&until_seen(&server, "forked 1", 1)), "KILL");
    until_seen(&server, "forked 2", 1);
    assert_eq!(server.connect().get("/").text(), "hello");
    server.stop();
    let lines = seen(&server);
    assert_eq!(lines.iter().filter(|line| line.starts_with("starting")).count(), 1, "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("end"), "{lines:?}");
}

#[test]
fn hooks_that_hang_at_a_reload_are_given_up_with_the_next_one() {
    for (hook, arguments) in [("on_reload", "server"), ("pre_fork", "server, worker")] {
        let mut server = server("def post_fork(server, worker): note('first', worker.pid)").start();
        assert_eq!(server.connect().get("/").text(), "hello");
        let hangs = format!(
            "
import os, time
def {hook}({arguments}):
    note('hangs', os.getpid())
    while True:
        time.sleep(1)
"
        );
        rewrite(&server, &hangs);
        server.signal("HUP");
        let pid = super::number(&until_seen(&server, "hangs", 1));
        rewrite(&server, "def post_fork(server, worker): note('second', worker.pid)");
        server.signal("HUP");
        until_seen(&server, "second", 1);
        assert!(process::holds(|| !process::is_alive(pid)), "{hook} goes on for ever");
        assert_eq!(server.connect().get("/").text(), "hello");
        server.stop();
    }
}

#[test]
fn the_hooks_of_the_next_reload_are_told_how_many_workers_there_are_after_one_that_failed() {
    let conf = |workers: u32, more: &str| {
        format!("workers = {workers}\ndef nworkers_changed(server, new, old): note('workers', new, old)\n{more}")
    };
    let mut server = server(&conf(1, "")).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    rewrite(&server, &conf(3, "def post_fork(server, worker): raise ValueError('on purpose')"));
    server.signal("HUP");
    server.wait_for_log("The reload failed");
    rewrite(&server, &conf(2, ""));
    server.signal("HUP");
    server.wait_for_log("The reload is done");
    server.signal("TTIN");
    until_seen(&server, "workers 3 2", 1);
    server.stop();
    assert_eq!(seen(&server), ["workers 1 None", "workers 3 1", "workers 2 1", "workers 3 2"]);
}

#[test]
fn a_worker_that_cannot_be_made_or_dies_at_once_is_made_later() {
    let conf = "
import os
template, fork = os.getpid(), os.fork
def is_due(name):
    if os.path.exists(name):
        os.unlink(name)
        return True
def forks():
    if is_due('first' if os.getpid() == template else 'second'):
        raise BlockingIOError(11, 'on purpose')
    return fork()
os.fork = forks
def dies():
    if os.getppid() != template and is_due('dies'):
        os.kill(os.getpid(), 9)
os.register_at_fork(after_in_child=dies)
def post_fork(server, worker): note('forked', worker.pid)
";
    let mut server = server(conf).start();
    let ways = [
        (
            "first",
            "A worker could not be started: the process that makes them cannot fork. The next attempt is in 0.5 s.",
        ),
        ("second", "A worker cannot be forked: OSError: the system has no second process to give."),
        ("dies", "A worker died while it booted. The next attempt is in 0.5 s."),
    ];
    for (count, (way, said)) in ways.into_iter().enumerate() {
        assert_eq!(server.connect().get("/").text(), "hello");
        std::fs::write(server.directory().join(way), "").expect("it can be written");
        process::signal(super::number(&until_seen(&server, "forked", count + 1)), "KILL");
        server.wait_for_log(said);
        until_seen(&server, "forked", count + 2);
    }
    assert_eq!(server.connect().get("/").text(), "hello");
    let ended = server.stop();
    assert!(!ended.stderr.contains("The process of the hooks"), "{}", ended.stderr);
}

#[test]
fn an_upgrade_whose_hook_ends_its_process_can_be_tried_again() {
    let conf = "
import os, time
def pre_exec(server):
    note('asked')
    if os.path.exists('go'):
        raise ValueError('on purpose')
    while not os.path.exists('go'):
        time.sleep(0.005)
    os.kill(os.getpid(), 9)
";
    let mut server = server(conf).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    server.signal("USR2");
    until_seen(&server, "asked", 1);
    // The process owes a worker when it ends.
    server.signal("TTIN");
    server.wait_for_log("Handling signal: ttin");
    std::fs::write(server.directory().join("go"), "").expect("it can be written");
    server.wait_for_logs("Booting worker", 2);
    server.signal("USR2");
    server.wait_for_log("The new binary is not started, because pre_exec raised.");
    server.stop();
}

#[test]
fn hooks_that_hang_when_a_reload_is_done_are_given_up() {
    let conf = "
import os, time
graceful_timeout = GRACE
def child_exit(server, worker):
    if not os.path.exists('reloaded'):
        note('hangs', os.getpid())
        while True:
            time.sleep(1)
def post_fork(server, worker): note('forked', worker.pid)
def when_ready(server): note('ready')
";
    // The stop does not wait for it; without one, its time is over some day.
    for grace in ["60", "1"] {
        let mut server = server(&conf.replace("GRACE", grace)).args(["--workers", "2"]).start();
        assert_eq!(server.connect().get("/").text(), "hello");
        process::signal(super::number(&until_seen(&server, "forked", 2)), "KILL");
        let hangs = super::number(&until_seen(&server, "hangs", 1));
        std::fs::write(server.directory().join("reloaded"), "").expect("it can be written");
        server.signal("HUP");
        server.wait_for_log("The reload is done");
        assert_eq!(server.connect().get("/").text(), "hello");
        if grace == "60" {
            assert!(process::is_alive(hangs));
            server.stop();
        } else {
            until_seen(&server, "ready", 2);
        }
        assert!(process::holds(|| !process::is_alive(hangs)), "it goes on for ever\n{}", server.stderr());
    }
}

#[test]
fn a_line_of_the_log_that_cannot_be_put_together_is_written_as_it_is() {
    let mut server = server("def when_ready(server): server.log.info('at 50%', 1)").start();
    assert_eq!(server.connect().get("/").text(), "hello");
    let ended = server.stop();
    assert!(ended.stderr.contains("at 50% (1,)"), "{}", ended.stderr);
}

#[test]
fn an_apps_own_error_is_logged_where_the_hook_after_it_is_cut_short_too() {
    let conf = "def post_request(worker, req, environ, resp):\n    raise KeyboardInterrupt('of the hook')\n";
    let server = server(conf);
    std::fs::write(
        server.directory().join("app.py"),
        "def app(environ, start_response):\n    raise ValueError('own')\n",
    )
    .expect("it can be written");
    let server = server.start();
    assert_eq!(server.connect().get("/").status, 500);
    server.wait_for_log("ValueError: own");
    server.wait_for_log("KeyboardInterrupt: of the hook");
}
