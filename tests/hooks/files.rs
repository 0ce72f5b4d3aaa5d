//! Configuration files as people write them, run as they are.

use crate::support::{Server, process};

const HOOKS: &str = "
import logging, os, time

bind = '127.0.0.1:8000'
workers = 2
started = time.time()

def on_starting(server):
    server.log.info('starting with %d workers', server.cfg.workers)

def when_ready(server):
    server.log.info('ready after %.0f s at %s', 0, server.cfg.bind)
    open('ready', 'w').close()

def post_fork(server, worker):
    server.log.info('Worker spawned (pid: %s)', worker.pid)

def pre_request(worker, req):
    req.started = time.time()
    worker.log.debug('%s %s', req.method, req.path)

def post_request(worker, req, environ, resp):
    took = time.time() - req.started
    headers = dict(req.headers)
    worker.log.info('%s %s from %s: %s, %s', req.method, req.path, headers['HOST'], resp.status_code, took >= 0)

def worker_exit(server, worker):
    worker.log.warning('worker %(which)s leaves', {'which': worker.age})

def on_exit(server):
    server.log.critical('over')
    try:
        1 / 0
    except ZeroDivisionError:
        server.log.exception('with a reason')
";

const COMPUTED: &str = "
import multiprocessing
import os
import threading

cores = multiprocessing.cpu_count()
workers = max(int(os.getenv('WEB_WORKERS', cores)), 2)
threads = int(os.getenv('THREADS', 2))
accesslog = '-'
keepalive = 2
max_requests = 1000
max_requests_jitter = workers * 10
worker_tmp_dir = '/dev/shm'
preload_app = True
lock = threading.Lock()

def post_fork(server, worker):
    import random
    random.seed()
    with lock:
        server.log.info('worker %s of %s', worker.age, server.cfg.workers)
        server.log.info('threads %d', worker.cfg.threads)
";

const LOGGING: &str = r#"
import json
import logging
import sys

loglevel = 'debug'
errorlog = '-'
accesslog = '-'
access_log_format = '{"request": "%(r)s", "status": "%(s)s"}'
handler = logging.StreamHandler(sys.stdout)
logging.basicConfig(level=logging.INFO, handlers=[handler], format='app: %(message)s')

def on_starting(server):
    logging.getLogger(__name__).info('configured')
    handler.flush()

def post_worker_init(worker):
    logging.getLogger('worker').info('loaded %s', worker.app.callable.__name__)
    handler.flush()
    worker.log.debug('debugging %s', json.dumps({'age': worker.age}))
"#;

fn run(conf: &str) -> (Server, String) {
    let server = Server::of_files(&[("app.py", super::APP), ("gunicorn.conf.py", conf)]).args(["app:app"]).start();
    assert_eq!(server.connect().get("/").text(), "hello");
    let address = server.address().to_owned();
    (server, address)
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_file_of_hooks_runs() {
    let (mut server, address) = run(HOOKS);
    server.wait_for_log("GET / from");
    assert!(process::holds(|| server.stderr().matches("Booting worker").count() == 2), "{}", server.stderr());
    let ended = server.stop();
    assert!(server.directory().join("ready").exists());
    says(
        &ended.stderr,
        &[
            "[INFO] starting with 2 workers\n",
            "[INFO] ready after 0 s at ['127.0.0.1:0']\n",
            "[INFO] Worker spawned (pid: ",
            "[WARNING] worker 1 leaves\n",
            "[CRITICAL] over\n",
            "[ERROR] with a reason\nTraceback (most recent call last):\n",
            "ZeroDivisionError: division by zero\n",
        ],
    );
    assert!(!address.is_empty() && !ended.stderr.contains("[DEBUG]"), "{}", ended.stderr);
    says(&ended.stderr, &["[INFO] GET / from test: 200, True\n"]);
}

#[test]
fn a_file_that_computes_its_values_runs() {
    let (mut server, _) = run(COMPUTED);
    server.wait_for_log("[INFO] worker 1 of ");
    server.wait_for_log("[INFO] worker 2 of ");
    says(&server.stop().stderr, &["[INFO] threads 2\n"]);
}

#[test]
fn a_file_that_configures_logging_runs() {
    let (mut server, _) = run(LOGGING);
    server.wait_for_output("app: loaded app\n");
    let ended = server.stop();
    says(&ended.stdout, &["app: configured\n", "{\"request\": \"GET / HTTP/1.1\", \"status\": \"200\"}\n"]);
    assert_eq!(ended.stdout.matches("app: configured").count(), 1, "{}", ended.stdout);
    says(&ended.stderr, &["[DEBUG] debugging {\"age\": 1}\n"]);
}
