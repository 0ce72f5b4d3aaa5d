//! Workers that die, an arbiter that dies, and what neither may take or leave behind.

use std::time::Duration;

use super::{WAITS, answers, children, ends, read, write};
use crate::support::{Client, Server, process};

/// Ends itself in the ways that a worker may, and counts how often it was loaded.
const DIES: &str = "
import ctypes, os, signal
with open('loaded', 'a') as loaded:
    loaded.write(f'{os.getpid()}\\n')
if os.path.exists('broken'):
    os._exit(9)
def app(environ, start_response):
    start_response('200 OK', [])
    match environ['PATH_INFO']:
        case '/exit':
            os._exit(7)
        case '/crash':
            ctypes.string_at(0)
        case '/fault':
            os.kill(os.getpid(), signal.SIGSEGV)
        case '/real-time':
            os.kill(os.getpid(), signal.SIGRTMIN + 11)
        case '/leave':
            os.kill(os.getpid(), signal.SIGTERM)
    return [b'alive']
";

fn loaded(server: &Server) -> usize {
    read(server, "loaded").lines().count()
}

#[test]
fn a_worker_that_ends_is_replaced_and_the_log_says_how_it_ended() {
    for mode in [&[][..], &["--preload"]] {
        let mut server = Server::of(DIES).args(["app:app"]).args(mode.iter().copied()).start();
        let mut workers = 1;
        let ways = [
            ("/exit", "exited with code 7"),
            ("/fault", "was sent SIGSEGV!"),
            ("/crash", "was sent SIGSEGV!"),
            ("/real-time", "was sent signal 45!"),
            ("/leave", ""),
        ];
        for (path, said) in ways {
            answers(&server, "alive");
            let mut client = server.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).read_all();
            workers += 1;
            server.wait_for_logs("Booting worker", workers);
            server.wait_for_log(said);
        }
        answers(&server, "alive");
        assert_eq!(loaded(&server), if mode.is_empty() { 6 } else { 1 }, "what was preloaded is not loaded again");
        server.stop();
    }
}

/// Nothing answers yet there to what has a worker print its stacks.
#[test]
fn a_worker_whose_python_does_not_start_is_given_up_as_any_other() {
    let slow = "import os, time\nif os.path.exists('slow'): time.sleep(1000)";
    let server = Server::of_files(&[("app.py", DIES), ("sitecustomize.py", slow)]);
    let path = server.directory().display().to_string();
    let mut server = server.env("PYTHONPATH", &path).args(["app:app", "--timeout", "2"]).start();
    answers(&server, "alive");
    write(&server, "slow", "");
    process::signal(server.worker(), "KILL");
    server.wait_for_log("WORKER TIMEOUT");
    server.wait_for_log("A worker died while it booted.");
    server.stop();
}

#[test]
fn workers_that_keep_dying_while_they_boot_are_tried_again_after_growing_pauses() {
    for served in [true, false] {
        let builder = Server::of(DIES).args(["app:app"]);
        let mut server = if served {
            let server = builder.start();
            answers(&server, "alive");
            write(&server, "broken", "");
            process::signal(server.worker(), "KILL");
            server
        } else {
            std::fs::write(builder.directory().join("broken"), "").expect("the file can be written");
            builder.start()
        };
        for pause in ["0.5", "1", "2"] {
            server.wait_for_log(&format!("A worker died while it booted. The next attempt is in {pause} s."));
        }
        assert_eq!(loaded(&server), 3 + usize::from(served), "one attempt after each pause");
        std::fs::remove_file(server.directory().join("broken")).expect("it is there");
        answers(&server, "alive");
        // Pauses begin anew once a worker has served.
        write(&server, "broken", "");
        process::signal(server.worker(), "KILL");
        server.wait_for_logs("The next attempt is in 0.5 s.", 2);
        // And a signal is not kept waiting by a pause.
        server.stop();
    }
}

#[test]
fn what_cannot_be_loaded_at_the_first_boot_ends_the_server_with_gunicorns_codes() {
    for args in [&["-w", "1"][..], &["-w", "3"], &["-w", "3", "--preload"]] {
        for (app, spec, code) in [("1/0", "app:app", 3), ("import nowhere", "app", 3), ("", "app:missing", 4)] {
            let ended = Server::of(app).args([spec]).args(args.iter().copied()).fail();
            let code = if args.contains(&"--preload") { 1 } else { code };
            assert_eq!(ended.status.code(), Some(code), "{args:?} {app:?}\n{}", ended.stderr);
        }
    }
}

#[test]
fn without_their_arbiter_workers_finish_what_they_are_at_and_end() {
    for mode in [&[][..], &["--preload"]] {
        let mut server = Server::of(WAITS).args(["app:app", "-w", "2"]).args(mode.iter().copied()).start();
        answers(&server, "alive");
        let workers = children(&server, 2 + mode.len());
        let _guards: Vec<_> = workers.iter().map(|pid| process::Guard(*pid)).collect();
        let address = server.address().to_owned();
        let mut client = server.connect();
        client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
        server.wait_for_output("waiting\n");
        server.signal("KILL");
        server.wait_status();
        let alive = || workers.iter().filter(|pid| process::is_alive(**pid)).count();
        assert!(process::holds(|| alive() == 1), "the idle one ends");
        let refused = process::holds(|| std::net::TcpStream::connect(&address).is_err());
        write(&server, "go", "");
        assert!(refused, "the busy one takes nothing more");
        assert_eq!(client.response("GET").text(), "alive");
        workers.into_iter().for_each(ends);
    }
}

/// Leaves a process behind that nobody waits for, and ends when there is a file `go`.
const ORPHANS: &str = "
import os, time
def app(environ, start_response):
    middle = os.fork()
    if middle == 0:
        if os.fork() == 0:
            while not os.path.exists('go'):
                time.sleep(0.005)
        os._exit(0)
    os.waitpid(middle, 0)
    start_response('200 OK', [])
    return [b'left']
";

#[test]
fn orphans_are_reaped_as_process_1_and_where_workers_come_from_a_template() {
    let namespace = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"];
    for (wrapper, mode, own) in [(&namespace[..], "--threads=1", 1), (&[], "--preload", 2)] {
        let mut server = Server::of(ORPHANS).args(["app:app", mode]).under(wrapper.iter().copied()).start();
        answers(&server, "left");
        answers(&server, "left");
        let arbiter = if wrapper.is_empty() { server.pid() } else { process::child(server.pid()) };
        let count = |wanted: usize| {
            let seen = process::holds(|| process::children(arbiter).len() == wanted);
            assert!(seen, "not {wanted} children, but {:?}", process::children(arbiter));
        };
        count(own + 2);
        write(&server, "go", "");
        count(own);
        answers(&server, "left");
        process::signal(arbiter, "TERM");
        assert!(server.wait().status.success());
    }
}

#[test]
fn the_arbiter_is_small_and_has_no_python() {
    let server = Server::of(WAITS).args(["app:app", "-w", "2"]).start();
    answers(&server, "alive");
    let pss = process::memory_kib(server.pid(), "Pss:");
    eprintln!("the arbiter's proportional share of memory is {pss} KiB");
    assert!(pss < 10 << 10, "{pss} KiB");
    assert_eq!(process::threads(server.pid()), 1);
}

#[test]
fn a_worker_and_what_it_starts_hold_nothing_of_the_arbiters() {
    let app = "
import subprocess
def app(environ, start_response):
    start_response('200 OK', [])
    child = subprocess.run(['ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout.split()
    return [str(child).encode()]
";
    let server = Server::of(app).args(["app:app", "-w", "2"]).start();
    // Whoever runs the tests may have left something open.
    let ours = std::process::Command::new("ls").arg("/proc/self/fd").output().expect("ls is there").stdout;
    let ours: Vec<_> =
        std::str::from_utf8(&ours).expect("text").split_whitespace().map(|fd| format!("'{fd}'")).collect();
    assert_eq!(server.connect().get("/").text(), format!("[{}]", ours.join(", ")), "a program that the app starts");
    let arbiter = open_files(server.pid());
    let both = |pipe: &str| ['0', '1'].iter().all(|mode| arbiter.contains(&(pipe.to_owned(), *mode)));
    let line: Vec<_> = arbiter.iter().filter(|(pipe, mode)| *mode == '0' && both(pipe)).map(|(pipe, _)| pipe).collect();
    assert_eq!(line.len(), 2, "what workers report by, and what they see the arbiter's end by: {arbiter:?}");
    for worker in children(&server, 2) {
        let files = open_files(worker);
        assert!(files.iter().all(|(name, _)| !name.contains("signalfd")), "{files:?}");
        let ends: Vec<_> =
            line.iter().map(|pipe| ['0', '1'].map(|mode| files.contains(&((*pipe).clone(), mode)))).collect();
        assert!(ends.contains(&[true, false]) && ends.contains(&[false, true]), "one end of each: {files:?}");
    }
}

/// What a process has open, and how: 0 for reading, 1 for writing, 2 for both.
fn open_files(pid: u32) -> Vec<(String, char)> {
    let numbers = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let file = |number: String| {
        let name = std::fs::read_link(format!("/proc/{pid}/fd/{number}")).ok()?;
        let about = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
        let flags = about.lines().find(|line| line.starts_with("flags:"))?;
        Some((name.display().to_string(), flags.chars().last()?))
    };
    numbers.filter_map(file).collect()
}

#[test]
fn a_preloaded_app_is_loaded_once_and_its_memory_is_shared() {
    let app = "
import os
with open('loaded', 'a') as loaded:
    loaded.write(f'{os.getpid()}\\n')
LARGE = [bytearray(os.urandom(1 << 20)) for _ in range(64)]
def app(environ, start_response):
    start_response('200 OK', [])
    return [f'{os.getpid()} {sum(map(len, LARGE))}'.encode()]
";
    let mut server = Server::of(app).args(["app:app", "-w", "3", "--preload"]).start();
    server.wait_for_logs("Booting worker", 3);
    let loader = read(&server, "loaded");
    assert_eq!(loader.lines().count(), 1, "{loader}");
    let (pid, _) =
        server.connect().get("/").text().split_once(' ').map(|(pid, size)| (pid.to_owned(), size.len())).expect("two");
    assert_ne!(loader.trim(), server.pid().to_string(), "the arbiter runs no code of the app's");
    assert_ne!(loader.trim(), pid, "nor does the process that loads it serve");
    let worker = pid.parse().expect("an id");
    let (all, own) = (process::memory_kib(worker, "Rss:"), process::memory_kib(worker, "Private_Dirty:"));
    eprintln!("of {all} KiB of a preloaded worker {own} KiB are its own");
    assert!(all > 64 << 10 && own < 16 << 10, "{own} of {all} KiB");
    server.stop();
}

/// What a container of the other version sees: the engine's machine has one of the two (`dockerize::inside`).
#[test]
fn workers_as_many_as_a_cgroup_of_version_2_allows() {
    const CONTAINER: &str = r#"
set -e
seen=$(mktemp -d) && mount -t tmpfs seen "$seen"
echo "0::$GROUP" >"$seen/cgroup"
mount --bind "$seen/cgroup" /proc/$$/cgroup
mount -t tmpfs cgroups /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup$GROUP"
echo cpu >"/sys/fs/cgroup$GROUP/cgroup.controllers"
echo "$QUOTA" >"/sys/fs/cgroup$GROUP/cpu.max"
umount "$seen" && rmdir "$seen"
exec "$@"
"#;
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    for (group, quota, workers) in [
        ("/", "100000 100000", "1"),
        ("/", "50000 100000", "1"),
        ("/app.slice/app", "150000 100000", "1"),
        ("/", "200000 200000", "1"),
        ("/", "max 100000", &all),
    ] {
        let shell = ["unshare", "--mount", "--map-root-user", "sh", "-c", CONTAINER, "sh"];
        let server = Server::of(WAITS).args(["app:app", "--workers", "auto"]).env("GROUP", group);
        let mut server = server.env("QUOTA", quota).under(shell).start();
        server.wait_for_log(&format!("Workers: {workers}, one for each CPU that may be used, with 4 threads each"));
        server.stop();
    }
}

#[test]
fn a_child_that_comes_back_from_its_call_leaves_the_connections_alone() {
    let app = "
import os
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/fork' and os.fork() == 0:
        os.write(1, b'child %d\\n' % os.getpid())
    start_response('200 OK', [])
    return [path.encode()]
";
    for threads in ["1", "4"] {
        let server = Server::of(app).args(["app:app", "--threads", threads]).start();
        let mut client = server.connect();
        assert_eq!(client.get("/fork").text(), "/fork");
        let child = process::until(|| {
            let output = server.stdout();
            output.lines().find_map(|line| line.strip_prefix("child ")?.parse::<u32>().ok())
        });
        ends(child.expect("it has said its number"));
        server.wait_for_log("came back from GET /fork and is ended");
        for number in 0..20 {
            let path = format!("/{number}");
            assert_eq!(client.get(&path).text(), path, "one answer to each request");
            assert_eq!(server.connect().get("/new").text(), "/new");
        }
    }
}

#[test]
fn a_child_ends_as_it_says_and_by_a_signal() {
    let app = "
import multiprocessing, os, sys, time
def app(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/terminate':
        child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))
        child.start()
        child.terminate()
        child.join()
        said = child.exitcode
    else:
        child = os.fork()
        if child == 0:
            print('said', path)
            if path == '/raise':
                raise ValueError('in the child')
            sys.exit({'/exit': None, '/seven': 7, '/text': 'a text'}[path])
        said = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    start_response('200 OK', [])
    return [str(said).encode()]
";
    let server = Server::of(app).args(["app:app"]).start();
    for (path, code) in [("/exit", "0"), ("/seven", "7"), ("/text", "1"), ("/raise", "1"), ("/terminate", "-15")] {
        assert_eq!(server.connect().get(path).text(), code, "{path}");
        if path != "/terminate" {
            server.wait_for_output(&format!("said {path}\n"));
        }
    }
    server.wait_for_log("ValueError: in the child");
    server.wait_for_log("a text\n");
    assert!(!server.stderr().contains("SystemExit"), "{}", server.stderr());
}

/// Whether a request on a connection of its own is answered before long. One that is not may have been taken on just before
/// its worker was known to be busy.
fn is_answered(server: &Server, path: &str) -> bool {
    let mut client = server.connect();
    client.set_timeout(Duration::from_secs(3));
    client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
    client.read_some().is_ok_and(|bytes| !bytes.is_empty())
}

#[test]
fn a_worker_without_a_thread_to_spare_leaves_connections_to_the_others() {
    // One slow request more than each worker but one could take: that one has a thread to spare.
    for (threads, slow) in [("1", 1), ("2", 3)] {
        let mut server = Server::of(WAITS).args(["app:app", "-w", "2", "--threads", threads]).start();
        server.wait_for_logs("Booting worker", 2);
        answers(&server, "alive");
        let waiting = |number| {
            let mut client = server.connect();
            client.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n");
            server.wait_for_outputs("waiting\n", number);
            client
        };
        let clients: Vec<_> = (1..=slow).map(waiting).collect();
        let answered = (0..40).filter(|_| is_answered(&server, "/")).count();
        assert!(answered >= 38, "{answered} of 40 were not left to wait behind a slow one ({threads} threads)");
        // Where nobody else is there to take it, it waits for whoever is done first.
        write(&server, "go", "");
        for mut client in clients {
            assert_eq!(client.response("GET").text(), "alive");
        }
        answers(&server, "alive");
        server.stop();
    }
}

#[test]
fn what_all_are_too_busy_to_take_is_answered_when_one_is_free_and_at_the_end() {
    for end in [false, true] {
        let (mut server, mut clients) = both_at("/wait", &[], WAITS);
        clients.extend(ask(&server, "/", 10));
        if end {
            server.signal("TERM");
            server.wait_for_log("Handling signal: term");
        }
        write(&server, "go", "");
        for mut client in clients {
            assert_eq!(client.response("GET").text(), "alive");
        }
        if end {
            assert!(server.wait_status().success());
        } else {
            server.stop();
        }
    }
}

/// Both workers of a server at a request each, and the clients that have sent them.
fn both_at(path: &str, args: &[&str], app: &str) -> (Server, Vec<Client>) {
    let server = Server::of(app).args(["app:app", "-w", "2"]).args(args.iter().copied()).start();
    server.wait_for_logs("Booting worker", 2);
    answers(&server, "alive");
    let mut clients = Vec::new();
    while server.stdout().matches("waiting").count() < 2 {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        clients.push(client);
        // That a worker is at a request is known to it after some milliseconds, and on a busy machine later.
        std::thread::sleep(Duration::from_millis(500));
    }
    (server, clients)
}

fn ask(server: &Server, path: &str, times: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
        client
    };
    (0..times).map(ask).collect()
}

#[test]
fn what_waits_for_busy_workers_is_shared_among_them() {
    let app = WAITS.replace(
        "    return [b'alive']",
        "    if environ['PATH_INFO'] == '/turn':
        time.sleep(0.3)
        return [str(os.getpid()).encode()]
    return [b'alive']",
    );
    let (mut server, _clients) = both_at("/wait", &[], &app);
    let waiting = ask(&server, "/turn", 10);
    write(&server, "go", "");
    let mut pids: Vec<_> = waiting.into_iter().map(|mut client| client.response("GET").text()).collect();
    pids.sort();
    let first = pids.iter().filter(|pid| **pid == pids[0]).count();
    assert!((2..=8).contains(&first), "one has answered {first} of 10: {pids:?}");
    server.stop();
}

#[test]
fn what_waits_for_workers_that_hang_is_answered_by_their_successors() {
    let app = WAITS.replace("os.path.exists('go')", "False");
    let (mut server, _clients) = both_at("/wait", &["--timeout", "5"], &app);
    for mut client in ask(&server, "/", 10) {
        assert_eq!(client.response("GET").text(), "alive", "{}", server.stderr());
    }
    server.wait_for_logs("WORKER TIMEOUT", 2);
    server.stop();
}

#[test]
fn a_process_that_the_app_forks_while_it_is_loaded_does_not_stay_as_a_worker() {
    let app = "
import os
pid = os.fork()
if pid == 0:
    open('child', 'a').write(f'{os.getpid()}\\n')
def app(environ, start_response):
    start_response('200 OK', [])
    return [b'alive']
";
    for mode in [&[][..], &["--preload"]] {
        let mut server = Server::of(app).args(["app:app"]).args(mode.iter().copied()).start();
        answers(&server, "alive");
        assert!(process::holds(|| !read(&server, "child").is_empty()), "it ran");
        let child: u32 = read(&server, "child").trim().parse().expect("one id");
        ends(child);
        answers(&server, "alive");
        server.stop();
    }
}
