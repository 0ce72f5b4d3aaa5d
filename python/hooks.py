"""Calls the hooks of a configuration file, with objects that have what gunicorn's have and a hook may read.

Embedded into rwsgi. The hooks of the server run in a process beside it, those of a worker in the worker.
"""

import os
import socket
import sys
import traceback


class Absent:
    """What has no attribute says so by the name that gunicorn's documentation has for it."""

    def __getattr__(self, name):
        raise AttributeError(f"rwsgi's {type(self).__name__.lower()} has no attribute {name!r}")


class Told(Absent):
    """What a hook may read, and a part of which it cannot change, since rwsgi would not follow."""

    FIXED = {}

    def __setattr__(self, name, value):
        if name in self.FIXED:
            raise AttributeError(f"rwsgi does not follow a hook that sets {name}: {self.FIXED[name]}")
        super().__setattr__(name, value)

    def _tell(self, **values):
        vars(self).update(values)


class Log(Absent):
    """gunicorn's logger, as far as it writes to the error log and sends metrics to statsd."""

    def __init__(self, write, send):
        self._write, self._send = write, send

    def log(self, level, message, *args, exc_info=None, extra=None, **_):
        if extra:
            metric, value, form = extra.get("metric"), extra.get("value"), FORMS.get(extra.get("mtype"))
            if metric and value is not None and form:
                self._send(f"{metric}:{value}|{form}")
            if not message:
                return
        if isinstance(level, int):
            level = next(name for least, name in LEVELS if level >= least)
        text = str(message)
        if args:
            # As logging does: a single dict fills in names.
            named = len(args) == 1 and isinstance(args[0], dict) and args[0]
            try:
                text %= args[0] if named else args
            except Exception:  # A line of the log is no reason to end.
                text = f"{text} {args}"
        if exc_info:
            if isinstance(exc_info, BaseException):
                exc_info = (type(exc_info), exc_info, exc_info.__traceback__)
            elif not isinstance(exc_info, tuple):
                exc_info = sys.exc_info()
            text = f"{text}\n{''.join(traceback.format_exception(*exc_info)).rstrip()}"
        self._write(str(level).lower(), text)

    @property
    def error_log(self):
        return logging_of("gunicorn.error")

    @property
    def access_log(self):
        return logging_of("gunicorn.access")

    def debug(self, message, *args, **options):
        self.log("debug", message, *args, **options)

    def info(self, message, *args, **options):
        self.log("info", message, *args, **options)

    def warning(self, message, *args, **options):
        self.log("warning", message, *args, **options)

    def error(self, message, *args, **options):
        self.log("error", message, *args, **options)

    def critical(self, message, *args, **options):
        self.log("critical", message, *args, **options)

    def exception(self, message, *args, **options):
        self.log("exception", message, *args, **{"exc_info": True, **options})


def logging_of(name):
    # Most hooks do without it.
    import logging

    return logging.getLogger(name)


FORMS = {"gauge": "g", "counter": "c|@1.0", "histogram": "h", "timer": "ms"}

LEVELS = ((50, "critical"), (40, "error"), (30, "warning"), (20, "info"), (-sys.maxsize, "debug"))


class Setting:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def get(self):
        return self.value


class Config:
    """Every setting as an attribute."""

    def __init__(self, values, default_name):
        self.settings = {name: Setting(name, value) for name, value in values.items()}
        self._default_name = default_name

    def __getattr__(self, name):
        if name == "settings" or name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        return self.settings[name].value

    def __str__(self):
        return "\n".join(f"{name} = {setting.value}" for name, setting in sorted(self.settings.items()))

    @property
    def address(self):
        return [address(bind) for bind in self.bind]

    @property
    def sendfile(self):
        return self.settings["sendfile"].value is not False

    @property
    def env(self):
        return dict(pair.split("=", 1) for pair in self.raw_env)

    @property
    def is_ssl(self):
        return bool(self.certfile or self.keyfile)

    @property
    def proc_name(self):
        return self.settings["proc_name"].value or self._default_name

    @property
    def uid(self):
        return self.user

    @property
    def gid(self):
        return self.group

    @property
    def worker_class_str(self):
        return "gthread" if self.threads > 1 else self.worker_class


def address(bind):
    """An address as gunicorn has it: a path, a descriptor's number, or a host and a port."""
    if bind.startswith("unix:"):
        return bind[5:].replace("//", "", 1) if bind.startswith("unix://") else bind[5:]
    if bind.startswith("fd://"):
        return int(bind[5:])
    host, _, port = bind.rpartition("//")[2].rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else (bind, 8000)


class Listener(Absent):
    def __init__(self, descriptor, text):
        self._descriptor, self._text = descriptor, text

    def __str__(self):
        return self._text

    def fileno(self):
        return self._descriptor

    def getsockname(self):
        with socket.socket(fileno=os.dup(self._descriptor)) as sock:
            return sock.getsockname()


class App(Absent):
    def __init__(self, cfg, uri):
        self.cfg, self.app_uri, self.callable = cfg, uri, None

    def wsgi(self):
        if self.callable is None:
            raise RuntimeError("the app is not loaded yet")
        return self.callable


class Server(Told):
    """The arbiter, as a hook sees it from the process beside it: `pid` is the arbiter's."""

    FIXED = {
        "num_workers": "name the setting workers in the file, or send TTIN and TTOU",
        "timeout": "name the setting timeout in the file",
    }

    def __init__(self, cfg, log, app, listeners, pid, predecessor, size):
        self.cfg, self.log, self.app, self.pid = cfg, log, app, pid
        self.LISTENERS = [Listener(*listener) for listener in listeners]
        self.WORKERS = {}
        self._tell(num_workers=size, timeout=cfg.timeout)
        self.worker_age = 0
        self.master_pid = predecessor or 0
        self.master_name = "Master.2" if predecessor else "Master"
        self.proc_name = f"{cfg.proc_name}.2" if predecessor else cfg.proc_name
        self.address = cfg.address


RETIRE = "name the setting max_requests in the file, or say worker.alive = False"


class Worker(Told):
    FIXED = {"max_requests": RETIRE, "nr": RETIRE, "timeout": "name the setting timeout in the file"}

    def __init__(self, age, server):
        self.age, self.ppid, self.pid = age, server.pid, "[booting]"
        self.app, self.cfg, self.log, self.sockets = server.app, server.cfg, server.log, server.LISTENERS
        self._tell(timeout=server.cfg.timeout / 2.0, max_requests=server.cfg.max_requests or sys.maxsize)
        self.booted = self.aborted = False
        self._alive, self._retire, self._requests = True, None, int

    def __str__(self):
        return f"<Worker {self.pid}>"

    @property
    def wsgi(self):
        return self.app.wsgi()

    @property
    def nr(self):
        """How many requests it has taken on."""
        return self._requests()

    @property
    def alive(self):
        return self._alive

    @alive.setter
    def alive(self, alive):
        """A worker that a hook declares dead finishes what it does, and is replaced."""
        if self._alive and not alive and self._retire:
            self._retire()
        self._alive = alive

    def notify(self):
        """A worker here says by itself that it is alive."""


class Request(Absent):
    def __init__(self, method, uri, path, query, headers, version, peer, scheme):
        self.method, self.uri, self.path, self.query, self.fragment = method, uri, path, query, ""
        self.headers, self.version, self.scheme = headers, version, scheme
        self.trailers = []
        self.peer_addr = self.remote_addr = peer


class Response(Absent):
    """What the app has answered, when it is over. `status` is None where the app never called start_response."""

    def __init__(self, req, cfg, status, headers, sent, headers_sent):
        self.req, self.cfg, self.status = req, cfg, status
        if status is not None:
            self.status_code = int(status.split()[0])
        self.headers = list(headers or ())
        self.sent, self.headers_sent = sent, headers_sent
        lengths = [int(value) for name, value in self.headers if name.lower() == "content-length"]
        self.response_length = lengths[0] if lengths else None


class Hooks:
    def __init__(self, functions, arity, server):
        self.functions, self.server, self.worker = functions, server, None
        self.post_request_arity = arity(functions["post_request"]) if "post_request" in functions else 0
        self.booting = {}
        self.over = set()

    def call(self, name, *args):
        if name in self.functions:
            self.functions[name](*args)

    def on_server(self, name):
        self.call(name, self.server)

    # In the process of the hooks.

    def running(self, pid, age):
        worker = self.booting.pop(age, None) or Worker(age, self.server)
        worker.pid = pid
        self.server.WORKERS[pid] = worker
        self.server.worker_age = max(self.server.worker_age, age)

    def resized(self, now, before):
        self.server._tell(num_workers=now)
        self.call("nworkers_changed", self.server, now, before)

    def pre_fork(self, age):
        self.server.worker_age = age
        self.booting[age] = worker = Worker(age, self.server)
        try:
            self.call("pre_fork", self.server, worker)
        except BaseException:
            del self.booting[age]
            raise
        # What is not written yet would be written by the worker as well.
        flush()

    def forget(self, pid):
        return self.server.WORKERS.pop(pid, None)

    def child_exit(self, pid):
        worker = self.forget(pid)
        if worker is not None:
            self.call("child_exit", self.server, worker)

    def closed(self):
        self.server.LISTENERS = []

    # In a worker.

    def post_fork(self, age, retire, requests):
        self.worker = self.booting.pop(age)
        self.booting.clear()
        self.worker.pid, self.worker._retire, self.worker._requests = os.getpid(), retire, requests
        self.call("post_fork", self.server, self.worker)

    def loaded(self, app):
        self.server.app.callable = app

    def post_worker_init(self):
        self.call("post_worker_init", self.worker)
        self.worker.booted = True

    def on_worker(self, name):
        # A terminal sends INT to all processes, and the arbiter passes on its own.
        if name in self.over:
            return
        self.over.add(name)
        self.worker._alive = False
        self.call(name, self.worker)

    def worker_exit(self):
        # It may be called by a thread that cuts short what another one ends in order.
        if "worker_exit" not in self.over:
            self.over.add("worker_exit")
            # Not said to the arbiter: it goes already.
            self.worker._alive = False
            self.call("worker_exit", self.server, self.worker)

    def pre_request(self, *request):
        request = Request(*request)
        try:
            self.call("pre_request", self.worker, request)
        except BaseException:
            self.post_request(request, {}, None)
            raise
        return request

    def post_request(self, request, environ, answer):
        if "post_request" in self.functions:
            response = answer and Response(request, self.worker.cfg, *answer)
            args = (self.worker, request, environ, response)[: self.post_request_arity]
            try:
                self.functions["post_request"](*args)
            except Exception:
                self.worker.log.exception("Exception in post_request hook")


def begin(functions, arity, values, log, uri, listeners, pid, predecessor, size):
    cfg = Config({**values, **functions}, uri)
    return Hooks(functions, arity, Server(cfg, Log(*log), App(cfg, uri), listeners, pid, predecessor, size))


def enter(directory, variables):
    """What the configuration file does not see itself: gunicorn's own order."""
    os.chdir(directory)
    # A link may lead to another release by the time that a worker is made.
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    os.environ.update(variables)


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # None or closed; there is nothing to flush
            pass
