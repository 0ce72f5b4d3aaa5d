//! Configuration files as people write them.

use std::process::Stdio;

use super::{folder, rwsgi, same};
use crate::support::{Server, process};

/// What gunicorn's documentation shows as an example: each setting that it goes through, and its hooks.
const DOCUMENTED: &str = r#"
bind = '127.0.0.1:8000'
backlog = 2048
workers = 1
worker_class = 'sync'
worker_connections = 1000
timeout = 30
keepalive = 2
spew = False
daemon = False
raw_env = ['DJANGO_SECRET_KEY=something', 'SPAM=eggs']
pidfile = None
umask = 0
user = None
group = None
tmp_upload_dir = None
errorlog = '-'
loglevel = 'info'
accesslog = '-'
access_log_format = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
proc_name = None

def post_fork(server, worker):
    server.log.info('worker %s', worker.pid)

def pre_fork(server, worker):
    pass

def pre_exec(server):
    server.log.info('forked')

def when_ready(server):
    server.log.info('ready')

def worker_int(worker):
    import threading, sys, traceback
    worker.log.info('interrupted')

def worker_abort(worker):
    worker.log.info('aborted')

def ssl_context(conf, default_ssl_context_factory):
    import ssl
    context = default_ssl_context_factory()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"#;

const HOOKS: &str = r"
bind = ['127.0.0.1:8000', 'unix:app.sock']

def noting(text):
    def note(server):
        server.log.info(text)
    return note

on_starting = noting('starting')
when_ready = lambda server: None
def child_exit(server, worker):
    from prometheus_client import multiprocess
    multiprocess.mark_process_dead(worker.pid)
def pre_request(worker, req):
    worker.log.debug('%s %s', req.method, req.path)
def post_request(worker, req, environ, resp):
    pass
def nworkers_changed(server, new, old):
    pass
on_exit = 'hooks.on_exit'
";

const COMPUTED: &str = r"
import multiprocessing
import os

workers = int(os.environ.get('WORKERS', multiprocessing.cpu_count() * 2 + 1))
threads = 2 if os.getenv('DEBUG') else 4
bind = '0.0.0.0:' + os.getenv('UNSET_PORT', '8080')
preload_app = True
max_requests, max_requests_jitter = 1000, 50
worker_tmp_dir = '/dev/shm'
for name, value in list(os.environ.items()):
    if name.startswith('GUNICORN_SET_'):
        globals()[name[13:].lower()] = value
timeout = '0x3c'
umask = 0o027
wsgi_app = 'app:app'
";

const LOGGING: &str = r#"
import os, sys
log_format = '%(asctime)s %(message)s'
venv = '/not/a/setting/of/gunicorns'
loglevel = os.environ.get('LOG_LEVEL', 'WARNING').lower()
accesslog = '-'
errorlog = 'error.log'
access_log_format = '{"remote": "%(h)s", "request": "%(r)s", "status": "%(s)s", "time": "%(M)s", "id": "%({x-request-id}i)s"}'
capture_output = True
proc_name = 'shop'
forwarded_allow_ips = '127.0.0.1,::1'
statsd_prefix = 'shop'
print('read by', os.path.basename(sys.argv[0]), file=sys.stderr)
"#;

#[test]
fn the_documented_example_is_understood_and_runs() {
    same(&folder(&[("gunicorn.conf.py", DOCUMENTED)]), &[], &["app:app"]);
    let server = Server::of_files(&[("app.py", super::APP), ("gunicorn.conf.py", DOCUMENTED)]);
    let mut server = server.args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    server.signal("INT");
    let ended = server.wait();
    for said in ["[INFO] ready\n", "[INFO] worker ", "[INFO] interrupted\n"] {
        assert!(ended.stderr.contains(said), "{said:?} is not in\n{}", ended.stderr);
    }
}

#[test]
fn a_file_with_hooks_of_every_form_is_understood() {
    let hooks = "def on_exit(server): pass";
    same(&folder(&[("conf.py", HOOKS), ("hooks.py", hooks)]), &[], &["-c", "file:conf.py", "app:app"]);
}

#[test]
fn a_file_that_computes_its_values_is_understood() {
    let variables = [("GUNICORN_SET_BACKLOG", "0x40"), ("GUNICORN_SET_REUSE_PORT", "true")];
    let ours = same(&folder(&[("gunicorn.conf.py", COMPUTED)]), &variables, &[]);
    assert_eq!((ours["timeout"].as_str(), ours["umask"].as_str(), ours["backlog"].as_str()), ("60", "23", "64"));
}

#[test]
fn a_file_about_logs_is_understood_and_its_own_variables_are_not_ours() {
    let ours = same(&folder(&[("gunicorn.conf.py", LOGGING)]), &[], &["app:app"]);
    assert_eq!((ours["rwsgi_log_format"].as_str(), ours["rwsgi_venv"].as_str()), ("text", "None"));
}

#[test]
fn a_module_is_a_configuration_too() {
    let folder = folder(&[("shop/__init__.py", ""), ("shop/conf.py", "workers = 9\nfrom os import path")]);
    assert_eq!(same(&folder, &[], &["-c", "python:shop.conf", "app:app"])["workers"], "9");
}

/// What is printed can be given again, and is the same then.
#[test]
fn a_configuration_that_is_printed_can_be_given_again() {
    let folder = folder(&[("gunicorn.conf.py", LOGGING), ("other.py", "")]);
    let first = super::printed(&mut rwsgi(folder.path(), &[], &["app:app"]));
    let mut args = vec!["app:app".to_owned()];
    for (name, value) in &first {
        let setting = rwsgi::settings::all().find(|setting| setting.name_in_file() == *name);
        let setting = setting.expect("what is printed is a setting");
        let flag = setting.longs().next();
        if let (Some(flag), false) = (flag, value == "None" || setting.value_name.is_empty()) {
            let plain = match value.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
                Some(list) => list.replace('\'', "").replace(", ", ","),
                None => value.clone(),
            };
            match setting.kind {
                rwsgi::settings::Kind::List if plain.is_empty() => {}
                _ => args.push(format!("--{flag}={plain}")),
            }
        } else if value == "True"
            && !["print_config", "suppress_ragged_eofs", "rwsgi_buffering"].contains(&name.as_str())
        {
            args.push(format!("--{}", flag.expect("it is an option")));
        }
    }
    let args: Vec<_> = args.iter().map(|arg| arg.replace("--config=./gunicorn.conf.py", "--config=other.py")).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let mut again = super::printed(&mut rwsgi(folder.path(), &[], &args));
    again.insert("config".to_owned(), first["config"].clone());
    assert_eq!(first, again);
}

#[test]
fn variables_are_set_and_paths_searched_before_the_app_is_loaded() {
    let app = "
import os, sys
assert os.environ['FROM_FILE'] == 'a=b'
import elsewhere
path = sys.path[:2]
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr((path, os.environ['FROM_FILE'], os.environ['SPAM'], os.getcwd())).encode()]
";
    let file = "raw_env = ['FROM_FILE=a=b']\nchdir = 'deep'\npythonpath = 'lib,more'\nwsgi_app = 'inner'";
    for preload in ["False", "True"] {
        let file = format!("{file}\npreload_app = {preload}\nraw_env.append('SPAM=eggs')");
        let server =
            Server::of_files(&[("deep/inner.py", app), ("deep/lib/elsewhere.py", ""), ("gunicorn.conf.py", &file)]);
        let deep = server.directory().canonicalize().expect("it is there").join("deep").display().to_string();
        let server = server.start();
        let answer = server.connect().get("/").text();
        assert_eq!(answer, format!("(['{deep}/more', '{deep}/lib'], 'a=b', 'eggs', '{deep}')"));
    }
}

#[test]
fn automatic_workers_are_announced() {
    let server = Server::of(super::APP).args(["app:app", "-w", "auto"]).start();
    server.wait_for_log("one for each CPU that may be used, with 4 threads each");
    assert_eq!(server.connect().get("/").text(), "hello");
}

#[test]
fn what_has_nothing_to_do_is_said_once() {
    let mut server = Server::of(super::APP).args(["app:app", "--worker-tmp-dir", "/dev/shm"]).start();
    let ended = server.stop();
    assert_eq!(ended.stderr.matches("--worker-tmp-dir has nothing to do: ").count(), 1, "{}", ended.stderr);
}

#[test]
fn the_arbiter_does_not_run_the_file() {
    let file = "import os\nopen('who', 'a').write(f'{os.getpid()} ')";
    let mut server = Server::of_files(&[("app.py", super::APP), ("gunicorn.conf.py", file)]).args(["app:app"]).start();
    let who = std::fs::read_to_string(server.directory().join("who")).expect("the file has run");
    let who: Vec<_> = who.split_whitespace().collect();
    assert!(!who.contains(&&*server.pid().to_string()));
    server.stop();
    // Where it was read, and where workers are made from it.
    assert_eq!(who.len(), 2, "{who:?}");
}

#[test]
fn check_config_loads_the_app_and_says_only_what_is_wrong() {
    let folder = folder(&[("raises.py", "def f():\n    1/0\nf()")]);
    let output = rwsgi(folder.path(), &[], &["--check-config", "app:app"]).stdin(Stdio::null()).output();
    let output = output.expect("the program starts");
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    let output = rwsgi(folder.path(), &[], &["--check-config", "raises:app"]).output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("Could not load raises:app: ZeroDivisionError") && errors.contains("in f\n"), "{errors}");
    for (option, value) in
        [("--access-logfile", "no/a"), ("--error-logfile", "no/e"), ("-p", "no/p"), ("-b", "unix:no/s")]
    {
        let output = rwsgi(folder.path(), &[], &["--check-config", "app:app", option, value]).output();
        let output = output.expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{option}: {errors}");
        assert!(errors.contains("cannot be made: there is no folder no. Make it"), "{option}: {errors}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 2, "nothing is made");
}

#[test]
fn what_a_file_changes_of_its_process_is_the_apps() {
    let file = "
import os, sys
os.environ['DATABASE'] = 'sqlite://'
os.environ.pop('UNWANTED', None)
os.umask(0o27)
sys.path.insert(0, os.path.abspath('more'))
";
    let app = "
import beside, os, parent
def app(environ, start_response):
    start_response('200 OK', [])
    mask = os.umask(0)
    os.umask(mask)
    names = ['DATABASE', 'UNWANTED', 'SERVER_SOFTWARE']
    seen = [os.environ.get(name, '')[:15] for name in names]
    return [repr((seen, mask, beside.__file__, parent.__file__)).replace(os.getcwd(), '').encode()]
";
    let files = [("gunicorn.conf.py", file), ("sub/app.py", app), ("parent.py", ""), ("more/beside.py", "")];
    let server = || Server::of_files(&files).args(["app:app", "--chdir", "sub"]).env("UNWANTED", "1");
    // Where the files are differs; the rest does not.
    let seen = |server: Server| {
        let text = server.connect().get("/").text();
        text.replace(&server.directory().display().to_string(), "")
    };
    let ours = seen(server().start());
    assert_eq!(ours, seen(server().gunicorn().start()));
    assert!(ours.starts_with("(['sqlite://', '', 'gunicorn/27.0.1'], 23, '/more/beside.py'"), "{ours}");
    assert_eq!(ours, seen(server().args(["--preload"]).start()));
    let checked = server().args(["--check-config"]).without_bind().fail();
    assert!(checked.status.success(), "{}", checked.stderr);
}

#[test]
fn what_a_file_leaves_running_holds_nothing_up() {
    let file = "
import os, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
if os.fork() == 0:
    time.sleep(5)
    os._exit(0)
";
    let app = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'up']\n";
    let mut server = Server::of_files(&[("gunicorn.conf.py", file), ("app.py", app)]).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "up");
    server.stop();
}

#[test]
fn a_file_that_ends_its_process_is_told() {
    let app = "def app(environ, start_response):\n    pass\n";
    for (code, said) in [(0, "ended its process."), (7, "ended its process with code 7.")] {
        let file = format!("import os\nos._exit({code})\n");
        let ended = Server::of_files(&[("gunicorn.conf.py", file.as_str()), ("app.py", app)]).args(["app:app"]).fail();
        let expected = format!("Error: The configuration file ./gunicorn.conf.py {said}\n");
        assert_eq!((ended.status.code(), ended.stderr), (Some(1), expected));
    }
}

/// Tells what a configuration file has done to the process.
const NOTICES: &str = "
import logging, socket, sys
def app(environ, start_response):
    start_response('200 OK', [])
    return [repr((logging.getLogger().level, socket.getdefaulttimeout(), sys.modules.get('shared') is not None)).encode()]
";

#[test]
fn what_a_file_does_to_its_process_is_done_to_that_of_the_app() {
    for (file, seen) in [
        ("import logging\nlogging.basicConfig(level=logging.INFO)", "(20, None, False)"),
        ("import logging\nlog = logging.getLogger()\nlog.setLevel(10)", "(10, None, False)"),
        ("import socket\ndef limit():\n  socket.setdefaulttimeout(7)\nif True:\n  limit()", "(30, 7.0, False)"),
        ("import shared", "(30, None, True)"),
        ("from shared import VALUE", "(30, None, True)"),
    ] {
        for args in [&["-w", "1"][..], &["-w", "2", "--preload"]] {
            let files = [("app.py", NOTICES), ("gunicorn.conf.py", file), ("shared.py", "VALUE = 2\n")];
            let server = Server::of_files(&files).args(["app:app"]).args(args.iter().copied()).start();
            assert_eq!(server.connect().get("/").text(), seen, "{file} {args:?}");
            assert!(process::holds(|| process::children(server.pid()).len() == args.len()), "{file}");
        }
    }
}

#[test]
fn a_file_that_only_makes_values_needs_no_process() {
    for file in [
        "import multiprocessing, os\nworkers = min(multiprocessing.cpu_count() * 2 + 1, 1)\nos.environ['A'] = 'b'",
        "from shared import VALUE\nworkers = VALUE\nraw_env = []\nraw_env.append('A=b')\nfor name in 'xy':\n  raw_env += [f'{name}=1']",
        "import os, sys\nsys.path.append('lib')\nos.makedirs('logs', exist_ok=True)\ndef unused():\n  raise OSError",
    ] {
        let files = [("app.py", NOTICES), ("gunicorn.conf.py", file), ("shared.py", "VALUE = 1\n")];
        let server = Server::of_files(&files).args(["app:app"]).start();
        assert_eq!(server.connect().get("/").text(), "(30, None, False)", "{file}");
        assert_eq!(process::children(server.pid()).len(), 1, "{file}");
    }
}

#[test]
fn a_further_file_to_watch_must_exist() {
    let server = |file| Server::of(super::APP).args(["app:app", "--reload-extra-file", file]);
    let ended = server("typo.yml").fail();
    let said = "The file typo.yml (reload_extra_files, --reload-extra-file) does not exist in ";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert_eq!(server("*.yml").start().connect().get("/").text(), "hello");
}
