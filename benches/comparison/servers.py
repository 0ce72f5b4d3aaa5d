"""The servers, and how each is started and ended."""

import dataclasses
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

BENCHES = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS = 20
STOP_SECONDS = 5


class Wrong(Exception):
    """A server does not do what it should: that is shown, and it is not ranked."""


@dataclasses.dataclass(frozen=True)
class Server:
    """How a server is started. Braces stand for what Running fills in."""

    name: str
    package: str
    command: str = "{python}"
    code: str = ""
    """What Python runs, where the command line does not know of workers or is not the fast way."""
    preload: str = ""
    """The option that loads the app before the workers are made, unless that is what it does anyway, or cannot do."""
    threads: str = ""
    """The option for the number of threads that call the app, if it can have several."""
    usual_threads: int = 0
    """How many those are where a row does not say; 0 leaves it to the server."""
    workers: bool = True
    """Whether it can have several worker processes."""


BJOERN = """
import os, bjoern
from {module} import {app} as app
bjoern.listen(app, "127.0.0.1", {port})
any(os.fork() == 0 for _ in range({workers} - 1))
bjoern.run()
"""
FASTWSGI = """
import fastwsgi
from {module} import {app} as app
fastwsgi.run(app, host="127.0.0.1", port={port}, loglevel=0, workers={workers})
"""

# The settings are the defaults, but for what a row asks for, and where another is faster: gthread has one thread by default
# and is better with four; of uWSGI's three ways to serve HTTP, its router alone keeps 32 connections alive at a time.
SERVERS = [
    Server(
        name="rwsgi",
        package="",
        command="{rwsgi} {module}:{app} --bind 127.0.0.1:{port} --workers {workers}",
        threads="--threads {threads}",
        preload="--preload",
    ),
    Server(
        name="gunicorn-sync",
        package="gunicorn",
        command="{bin}/gunicorn {module}:{app} --bind 127.0.0.1:{port} --workers {workers} --no-control-socket",
        preload="--preload",
    ),
    Server(
        name="gunicorn-gthread",
        package="gunicorn",
        command="{bin}/gunicorn {module}:{app} --bind 127.0.0.1:{port} --workers {workers} --no-control-socket "
        "--worker-class gthread",
        threads="--threads {threads}",
        usual_threads=4,
        preload="--preload",
    ),
    Server(
        name="granian",
        package="granian",
        command="{bin}/granian --interface wsgi {module}:{app} --host 127.0.0.1 --port {port} --workers {workers}",
        threads="--blocking-threads {threads}",
    ),
    Server(
        name="uwsgi",
        package="uwsgi",
        command="{bin}/uwsgi --http 127.0.0.1:{port} --http-keepalive --module {module}:{app} --virtualenv {venv} "
        "--pythonpath {benches} --master --processes {workers} --disable-logging --need-app --die-on-term",
        threads="--threads {threads}",
    ),
    Server(name="bjoern", package="bjoern", code=BJOERN),
    Server(name="fastwsgi", package="fastwsgi", code=FASTWSGI),
    Server(
        name="waitress",
        package="waitress",
        # Its options have to come before the app.
        command="{bin}/waitress-serve --listen 127.0.0.1:{port} --threads {threads} {module}:{app}",
        usual_threads=4,
        workers=False,
    ),
    Server(
        name="cheroot",
        package="cheroot",
        command="{python} -m cheroot --bind 127.0.0.1:{port} {module}:{app}",
        threads="--threads {threads}",
        workers=False,
    ),
]


class Running:
    """A server that answers, in a session of its own, until the block ends."""

    def __init__(self, server, app, environment, cores, workers=1, threads=0, preload=False):
        self.port = free_port()
        module, _, name = app.partition(":")
        threads = threads or server.usual_threads
        fill = dict(environment.places, module=module, app=name, port=self.port, workers=workers, threads=threads)
        words = server.command.split()
        if threads:
            words += server.threads.split()
        if preload and server.preload:
            words.append(server.preload)
        # Filled in after the split: a place may have a space in its path.
        self.command = [word.format(**fill) for word in words]
        if server.code:
            self.command += ["-c", server.code.format(**fill)]
        self.command = ["taskset", "-c", ",".join(map(str, cores)), *self.command]
        self.variables = environment.variables

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        begun = time.monotonic()
        self.process = subprocess.Popen(
            self.command, cwd=BENCHES, env=self.variables, stdout=self.log, stderr=self.log, start_new_session=True
        )
        try:
            self.wait_for_answer(begun + START_SECONDS)
        except BaseException:
            self.__exit__()
            raise
        self.start_seconds = time.monotonic() - begun
        return self

    def wait_for_answer(self, deadline):
        while True:
            try:
                self.ask("GET", "/")
                return
            except (OSError, http.client.HTTPException) as error:
                if self.process.poll() is not None:
                    raise Wrong(f"ends at once: {self.last_line()}") from None
                if time.monotonic() > deadline:
                    raise Wrong(f"does not answer within {START_SECONDS} s: {error}") from None
                time.sleep(0.001)

    def last_line(self):
        self.log.seek(0)
        lines = self.log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")

    def ask(self, method, target, body=None):
        """One request over a connection of its own; the response and its body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def processes(self):
        """The ids of its processes: all of its session, also those whose parent has ended."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if int(stat(entry.name)[3]) == self.process.pid:
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def cpu_seconds(self):
        """The CPU time, user and system, of its processes and of the children that they have waited for."""
        seconds = 0
        for pid in self.processes():
            try:
                children = sum(map(int, stat(pid)[13:15])) / os.sysconf("SC_CLK_TCK")
                seconds += time.clock_gettime(cpu_clock(pid)) + children
            except OSError:
                continue
        return seconds

    def pss_bytes(self):
        """Its memory: the proportional set size of all of its processes."""
        total = 0
        for pid in self.processes():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def __exit__(self, *_):
        try:
            self.process.terminate()
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Whoever is left: workers outlive some of the servers.
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            self.log.close()


def stat(pid):
    """The fields of /proc/PID/stat after the name: state, parent, group, session, and so on (proc_pid_stat(5))."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_clock(pid):
    """The clock of a process's CPU time, as clock_getcpuclockid(3) gives it: to the nanosecond, where /proc has 10 ms."""
    return (~pid << 3) | 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
