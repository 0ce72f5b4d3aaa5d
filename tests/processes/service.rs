//! How the server lives with what starts it: pid files, daemons, sockets that are passed, systemd, users.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{answers, children, daemon, ends, promptly, read, saying, write};
use crate::support::{Client, Server, process, server::LIMIT};

#[test]
fn the_pid_file_has_the_arbiters_id_and_goes_with_it() {
    let builder = Server::of(&saying("alive")).args(["app:app", "--pid", "app.pid"]);
    // No process has an id beyond the kernel's limit.
    std::fs::write(builder.directory().join("app.pid"), "99999999\n").expect("the file can be written");
    let mut server = builder.start();
    assert_eq!(read(&server, "app.pid"), format!("{}\n", server.pid()));
    let path = server.directory().join("app.pid");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let ended = Server::of("").args(["app:app", "--pid", path.to_str().expect("text")]).fail();
    assert_eq!(ended.status.code(), Some(1));
    let said = format!("Error: Already running on PID {} (or pid file '{}' is stale).", server.pid(), path.display());
    assert!(ended.stderr.contains(&said), "{}", ended.stderr);
    assert_eq!(read(&server, "app.pid"), format!("{}\n", server.pid()), "it is left alone");
    process::signal(server.worker(), "KILL");
    server.wait_for_logs("Booting worker", 2);
    assert!(path.exists(), "a worker takes nothing with it");
    server.stop();
    assert!(!path.exists());
    let place = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(place.path().join("folder")).expect("a folder");
    for name in ["no/such/folder/app.pid", "folder"] {
        let path = place.path().join(name);
        let ended = Server::of("").args(["app:app", "--pid", path.to_str().expect("text")]).fail();
        assert!(ended.stderr.contains("Error: Cannot write the pid file: "), "{}", ended.stderr);
    }
    assert_eq!(std::fs::read_dir(place.path()).expect("it is there").count(), 1, "nothing else is left");
}

#[test]
fn a_daemon_leaves_the_terminal_and_goes_on() {
    let (mut server, daemon, address) = daemon(&[]);
    assert_eq!(Client::connect(&address).get("/").text(), "alive");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", daemon.0)).expect("it runs");
    let fields: Vec<_> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
    let ours = std::fs::read_to_string("/proc/self/stat").expect("we run");
    let our_session = ours.rsplit_once(") ").expect("a name").1.split(' ').nth(3).expect("a session");
    assert_ne!(fields[3], our_session, "it has a session of its own");
    assert_ne!(fields[3], daemon.0.to_string(), "and cannot get a terminal");
    assert_eq!(fields[4], "0", "and has none");
    for descriptor in 0..3 {
        let path = std::fs::read_link(format!("/proc/{}/fd/{descriptor}", daemon.0)).expect("it is open");
        assert_eq!(path.to_str(), Some("/dev/null"), "{descriptor}");
    }
    // Nobody holds the pipes that it was started with.
    let ended = server.wait();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    process::signal(daemon.0, "TERM");
    ends(daemon.0);
    assert!(!server.directory().join("app.pid").exists());
    assert!(read(&server, "error.log").contains("Shutting down: Master"));
}

#[test]
fn what_a_daemons_app_prints_is_captured() {
    let app = "
import sys
print('loaded', flush=True)
def app(environ, start_response):
    print('printed', flush=True)
    print('told', file=sys.stderr, flush=True)
    print('logged', file=environ['wsgi.errors'], flush=True)
    start_response('200 OK', [])
    return [b'alive']
";
    let args = ["app:app", "--daemon", "--pid", "app.pid", "--error-logfile", "error.log", "--capture-output"];
    let builder = Server::of(app).without_bind().args(args).args(["--bind", "unix:app.sock"]);
    let mut server = builder.start_quietly();
    assert!(server.wait_status().success());
    let pid = process::until(|| read(&server, "app.pid").trim().parse().ok());
    let daemon = process::Guard(pid.expect("it writes its id"));
    let socket = format!("unix:{}", server.directory().join("app.sock").display());
    assert_eq!(Client::connect(&socket).get("/").text(), "alive");
    let log = read(&server, "error.log");
    for said in ["loaded\n", "printed\n", "told\n", "logged\n"] {
        assert!(log.contains(said), "{said:?}: {log}");
    }
    process::signal(daemon.0, "TERM");
    ends(daemon.0);
}

#[test]
fn a_daemon_takes_the_file_of_its_socket_along() {
    let builder = Server::of_files(&[("sub/app.py", &saying("alive"))]).without_bind();
    let paths = ["--chdir", "sub", "--bind", "unix:app.sock", "--pid", "app.pid", "--error-logfile", "error.log"];
    let mut server = builder.args(["app:app", "--daemon"]).args(paths).start_quietly();
    assert!(server.wait_status().success());
    let path = server.directory().join("sub/app.sock");
    let pid = process::until(|| read(&server, "sub/app.pid").trim().parse().ok());
    let daemon = process::Guard(pid.expect("it writes its id"));
    assert_eq!(Client::connect(&format!("unix:{}", path.display())).get("/").text(), "alive");
    process::signal(daemon.0, "TERM");
    ends(daemon.0);
    assert!(!path.exists());
}

#[test]
fn a_daemon_says_in_its_log_that_another_one_runs() {
    let builder = Server::of("").args(["app:app", "--daemon", "--pid", "app.pid", "--error-logfile", "error.log"]);
    std::fs::write(builder.directory().join("app.pid"), std::process::id().to_string()).expect("it is ours");
    let mut server = builder.start_quietly();
    assert!(server.wait_status().success());
    let said = format!("[ERROR] Already running on PID {} ", std::process::id());
    assert!(process::holds(|| read(&server, "error.log").contains(&said)), "{}", read(&server, "error.log"));
}

#[test]
fn a_daemon_may_keep_its_output() {
    let (server, daemon, _) = daemon(&["--enable-stdio-inheritance"]);
    server.wait_for_output("printed\n");
    process::signal(daemon.0, "TERM");
    ends(daemon.0);
}

#[test]
fn what_keeps_a_daemon_from_starting_is_told_at_the_terminal() {
    for (args, said) in [
        (["--bind", "127.0.0.1:http"], "127.0.0.1:http"),
        (["--error-logfile", "no/such/folder/error.log"], "no/such/folder"),
        (["--workers", "many"], "--workers"),
    ] {
        let ended = Server::of("").without_bind().args(["app:app", "--daemon"]).args(args).fail();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.starts_with("Error: ") && ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn a_window_that_changes_dismisses_the_workers_of_a_daemon_only() {
    let (server, daemon, address) = daemon(&["--workers", "2"]);
    let count = |wanted: usize| {
        let seen = promptly(|| process::children(daemon.0).len() == wanted);
        assert!(seen, "{:?}\n{}", process::children(daemon.0), read(&server, "error.log"));
    };
    count(2);
    process::signal(daemon.0, "WINCH");
    count(0);
    assert!(process::is_alive(daemon.0));
    // The sockets stay open, and whoever comes waits.
    let mut client = Client::connect(&address);
    process::signal(daemon.0, "HUP");
    assert_eq!(client.get("/").text(), "alive");
    count(2);
    process::signal(daemon.0, "TERM");
    ends(daemon.0);
    let mut server = Server::of(&saying("alive")).args(["app:app", "--log-level", "debug"]).start();
    answers(&server, "alive");
    let before = children(&server, 1);
    server.signal("WINCH");
    server.wait_for_log("SIGWINCH ignored. Not daemonized.");
    assert_eq!(children(&server, 1), before);
    server.stop();
}

/// Becomes the server, with a socket that listens as descriptor `FD`. Where there is a file for that, it keeps the
/// sockets in a process beside it, which tells whether anybody can connect when there is a file `over`.
const PASSES: &str = "
import os, socket, sys, time
numbers, path, *command = sys.argv[1:]
sockets = []
for number in map(int, numbers.split(',')):
    if path:
        passed = socket.socket(socket.AF_UNIX)
        passed.bind(f'{path}.{number}')
    else:
        passed = socket.socket()
        passed.bind(('127.0.0.1', 0))
    passed.listen()
    sockets.append(passed)
    os.dup2(passed.fileno(), number)
    os.set_inheritable(number, True)
if os.fork() == 0:
    sys.stdout.flush()
    for number in range(64):
        if number not in [passed.fileno() for passed in sockets]:
            try: os.close(number)
            except OSError: pass
    while not os.path.exists('over'):
        time.sleep(0.01)
    said = []
    for passed in sockets:
        client = socket.socket(passed.family)
        client.settimeout(2)
        try: client.connect(passed.getsockname()); said.append('connected')
        except OSError as error: said.append(repr(error))
    with open('said.new', 'w') as file: file.write(' '.join(said))
    os.rename('said.new', 'said')
    os._exit(0)
if numbers.startswith('3'):
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers.split(','))), LISTEN_FDNAMES='a:b')
os.execv(command[0], command)
";

const LISTEN: &str = "
import os
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr([name for name in os.environ if name.startswith('LISTEN_')]).encode()]
";

#[test]
fn sockets_that_were_passed_are_served() {
    for (bind, numbers, path) in
        [(true, "7", ""), (true, "7", "app.sock"), (false, "3,4", ""), (false, "3", "app.sock")]
    {
        let args: &[&str] = if bind { &["app:app", "--bind", "fd://7"] } else { &["app:app"] };
        let builder = Server::of(LISTEN).without_bind().args(args.iter().copied()).args(["--pid", "app.pid"]);
        let path = if path.is_empty() { String::new() } else { builder.directory().join(path).display().to_string() };
        let mut server = builder.under(["python3", "-c", PASSES, numbers, &path]).start();
        assert_eq!(server.addresses().len(), numbers.split(',').count());
        let all_serve = |server: &Server| {
            for address in server.addresses() {
                let answer = Client::connect(address).get("/").text();
                assert_eq!(answer, "[]", "programs that the app starts do not take the sockets for theirs");
            }
        };
        all_serve(&server);
        server.signal("HUP");
        server.wait_for_log("The reload is done");
        all_serve(&server);
        server.signal("USR2");
        server.wait_for_logs("Booting worker", 3);
        let new = process::until(|| read(&server, "app.pid.2").trim().parse().ok());
        let new = process::Guard(new.expect("the new arbiter writes its id"));
        server.signal("TERM");
        assert!(server.wait_status().success(), "{}", server.stderr());
        all_serve(&server);
        process::signal(new.0, "TERM");
        ends(new.0);
        for number in numbers.split(',').filter(|_| !path.is_empty()) {
            assert!(std::path::Path::new(&format!("{path}.{number}")).exists(), "it belongs to whoever passed it");
        }
        write(&server, "over", "");
        let said = process::until(|| Some(read(&server, "said")).filter(|said| !said.is_empty()));
        let said = said.expect("whoever passed the sockets goes on");
        assert!(said.split(' ').all(|said| said == "connected"), "others can go on with them: {said}");
    }
}

#[test]
fn a_descriptor_that_is_no_listener_is_refused() {
    // Below 20 are those that the program has opened itself, too.
    let any: Vec<_> = (3..20).map(|number| format!("fd://{number}")).collect();
    let any = any.iter().map(|bind| (bind.as_str(), "Cannot listen at fd://"));
    for (bind, said) in any.chain([("fd://1", "fd://N needs a number from 3")]) {
        let ended = Server::of("").without_bind().args(["app:app", "--bind", bind]).fail();
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn two_servers_share_a_port_only_if_both_say_so() {
    let first = Server::of(&saying("alive")).args(["app:app", "--reuse-port"]).start();
    let bind = ["app:app", "--bind", first.address()];
    let mut second = Server::of(&saying("alive")).without_bind().args(bind).args(["--reuse-port"]).start();
    answers(&second, "alive");
    second.stop();
    let ended = Server::of("").without_bind().args(bind).fail();
    assert!(ended.stderr.contains("the address is in use"), "{}", ended.stderr);
}

#[test]
fn the_umask_is_that_of_unix_sockets() {
    for (umask, expected) in [(None, 0o777), (Some("007"), 0o770), (Some("0o117"), 0o660)] {
        let builder = Server::of(&saying("alive")).without_bind().args(["app:app", "--bind", "unix:app.sock"]);
        let server = builder.args(umask.into_iter().flat_map(|mask| ["--umask", mask])).start();
        let mode = std::fs::metadata(server.directory().join("app.sock")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, expected, "{umask:?}");
    }
}

/// The user and the group that nobody else uses.
const NOBODY: u32 = 65534;

/// Keeps root's capabilities in who root becomes: the interpreter of a test may be in a folder that only root can read.
const ROOT: [&str; 2] = ["setpriv", "--securebits=+no_setuid_fixup"];

/// Another user, who is not stopped by such folders either.
const ANOTHER: [&str; 7] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    "--bounding-set=-setuid,-setgid",
];

const WHO: &str = "
import grp, os
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr([os.getresuid(), os.getresgid(), sorted(os.getgroups())]).encode()]
";

#[test]
fn workers_run_as_another_user_and_can_use_what_is_theirs() {
    let logs = ["--access-logfile", "logs/access.log", "--error-logfile", "logs/error.log"];
    for (mode, group) in [("--threads=1", "daemon"), ("--preload", "65534")] {
        let builder = Server::of_files(&[("app.py", WHO), ("logs/keep", "")]).without_bind();
        let path = builder.directory().to_owned();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        let bind = format!("unix:{}/app.sock", path.display());
        let args = ["app:app", "--bind", &bind, "--user", "nobody", "--group", group, mode, "-w", "2"];
        let mut server = builder.args(args).args(logs).under(ROOT).start_quietly();
        assert!(process::holds(|| read(&server, "logs/error.log").contains("Booting")), "{}", server.stderr());
        let id = if group == "daemon" { 1 } else { NOBODY };
        let who = format!("[({NOBODY}, {NOBODY}, {NOBODY}), ({id}, {id}, {id}), [{id}]]");
        assert_eq!(Client::connect(&bind).get("/").text(), who);
        assert!(process::field(server.pid(), "Uid:").starts_with('0'), "the arbiter stays who it is");
        let owner = |name: &str| std::fs::metadata(path.join(name)).map(|found| (found.uid(), found.gid())).ok();
        for name in ["app.sock", "logs/access.log", "logs/error.log"] {
            assert_eq!(owner(name), Some((NOBODY, id)), "{name}");
        }
        // Rotated by root, whose folder it is: it is the arbiter that makes the files, and gives them to the workers.
        let workers: Vec<_> = process::children(server.pid());
        let signal_all = |signal| workers.iter().for_each(|pid| process::signal(*pid, signal));
        signal_all("STOP");
        for name in ["access.log", "error.log"] {
            std::fs::rename(path.join("logs").join(name), path.join("logs").join(format!("{name}.1")))
                .expect("it is there");
        }
        server.signal("USR1");
        for name in ["logs/access.log", "logs/error.log"] {
            assert!(process::holds(|| owner(name) == Some((NOBODY, id))), "{name} belongs to {:?}", owner(name));
        }
        signal_all("CONT");
        let reopened = process::holds(|| {
            assert_eq!(Client::connect(&bind).get("/again").status, 200);
            read(&server, "logs/access.log").contains("/again")
        });
        assert!(reopened, "{}", read(&server, "logs/error.log"));
        server.signal("HUP");
        let reloaded = process::holds(|| read(&server, "logs/error.log").contains("The reload is done"));
        assert!(reloaded, "{}", read(&server, "logs/error.log"));
        assert_eq!(Client::connect(&bind).get("/").text(), who);
        server.stop();
        assert!(!path.join("app.sock").exists());
    }
}

#[test]
fn who_is_not_root_cannot_become_another_user() {
    let builder = Server::of(WHO).args(["app:app", "--user", "daemon"]);
    std::fs::set_permissions(builder.directory(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let ended = builder.under(ANOTHER).fail();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("The worker cannot run as another user"), "{}", ended.stderr);
}

/// What a real socket of systemd's kind gets.
pub struct Notified(std::os::unix::net::UnixDatagram);

impl Notified {
    pub fn at(path: &std::path::Path) -> Self {
        let socket = std::os::unix::net::UnixDatagram::bind(path).expect("a socket");
        socket.set_read_timeout(Some(LIMIT)).expect("an option of the socket");
        Self(socket)
    }

    pub fn next(&self) -> String {
        let mut buffer = [0; 1024];
        let size = self.0.recv(&mut buffer).expect("a notification comes");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }
}

#[test]
fn systemd_is_told_what_becomes_of_the_service() {
    let builder = Server::of(&saying("alive")).args(["app:app", "-w", "2"]);
    let path = builder.directory().join("notify.sock");
    let notified = Notified::at(&path);
    let mut server = builder.env("NOTIFY_SOCKET", path.to_str().expect("text")).start();
    assert_eq!(notified.next(), "READY=1\nSTATUS=The workers serve.");
    let reloading = || {
        server.signal("HUP");
        let told = notified.next();
        let time = told
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .and_then(|rest| rest.strip_suffix("\nSTATUS=The new workers are tried."));
        let time: u64 = time.and_then(|time| time.parse().ok()).unwrap_or_else(|| panic!("{told}"));
        let uptime = std::fs::read_to_string("/proc/uptime").expect("it is there");
        let uptime: u64 = uptime.split('.').next().and_then(|seconds| seconds.parse().ok()).expect("a number");
        assert!(time > 0 && time / 1_000_000 <= uptime, "{time} {uptime}");
    };
    reloading();
    assert_eq!(notified.next(), "READY=1\nSTATUS=The workers serve.");
    write(&server, "app.py", "raise ValueError('on purpose')\n");
    reloading();
    let failed = "READY=1\nSTATUS=The reload failed: a new worker could not boot, so the old ones go on serving.";
    assert!(notified.next().starts_with(failed));
    write(&server, "gunicorn.conf.py", "workers = 'many'\n");
    reloading();
    let failed = "READY=1\nSTATUS=The reload failed, and the old workers go on serving: The value \"many\" of workers";
    let told = notified.next();
    assert!(told.starts_with(failed), "{told}");
    write(&server, "gunicorn.conf.py", "");
    write(&server, "app.py", &saying("mended"));
    reloading();
    assert_eq!(notified.next(), "READY=1\nSTATUS=The workers serve.");
    answers(&server, "mended");
    server.stop();
    assert_eq!(notified.next(), "STOPPING=1\nSTATUS=The workers finish what they are at.");
}

#[test]
fn ps_shows_which_process_is_which() {
    let title = |pid: u32| {
        let shown = std::process::Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output();
        String::from_utf8_lossy(&shown.expect("ps is there").stdout).trim_end().to_owned()
    };
    for (args, name) in [(&[][..], "app:app"), (&["--name", "shop"], "shop")] {
        let mut server = Server::of(&saying("alive")).args(["app:app"]).args(args.iter().copied()).start();
        answers(&server, "alive");
        assert_eq!(title(server.pid()), format!("rwsgi: master [{name}]"));
        assert_eq!(title(server.worker()), format!("rwsgi: worker [{name}]"));
        let variables = std::fs::read_to_string(format!("/proc/{}/environ", server.pid())).expect("it runs");
        assert!(variables.contains("VIRTUAL_ENV="), "the environment can still be read");
        write(&server, "app.py", "raise ValueError('on purpose')\n");
        server.signal("HUP");
        server.wait_for_log("The reload failed");
        let failed = format!("rwsgi: master [{name}] (the last reload failed)");
        assert!(process::holds(|| title(server.pid()) == failed));
        write(&server, "app.py", &saying("mended"));
        server.signal("HUP");
        server.wait_for_log("The reload is done");
        assert_eq!(title(server.pid()), format!("rwsgi: master [{name}]"));
        server.stop();
    }
    let server = Server::of(&saying("alive")).args(["app:app", "--preload", "--name", &"long".repeat(100)]).start();
    answers(&server, "alive");
    let mut titles: Vec<_> = children(&server, 2).into_iter().map(title).collect();
    titles.sort();
    assert!(titles[0].starts_with("rwsgi: template [longlong") && titles[1].starts_with("rwsgi: worker [longlong"));
    assert_eq!(titles[1].len(), 255, "{titles:?}");
}
