"""The ways of measuring a server, each from a running server and a row to figures, and the check that it answers rightly."""

import collections
import contextlib
import http.client
import json
import pathlib
import subprocess
import threading
import time

from comparison.apps.plain import pattern
from comparison.servers import Wrong

SCRIPT = pathlib.Path(__file__).with_name("load.lua")
WARM_SECONDS = 0.3
SLOW_CLIENTS = 3
TIMEOUT_SECONDS = 10


def load(server, row, seconds, cores):
    """CPU time for a request, requests a second and latency, over connections that are kept alive."""
    warm(server, row)
    before = server.cpu_seconds()
    figures = wrk(server, row, seconds, cores)
    figures["cpu_us"] = (server.cpu_seconds() - before) / figures["requests"] * 1e6
    return figures


def beside_slow(server, row, seconds, cores):
    """The same with and without other requests that take a second each: what they add to the latency."""
    alone = load(server, row, seconds, cores)
    with slow_requests(server) as failures:
        figures = load(server, row, seconds, cores)
    if failures:
        raise Wrong(f"breaks off slow requests: {failures[0]}")
    figures["errors"] = dict(collections.Counter(alone["errors"]) + collections.Counter(figures["errors"]))
    figures["alone_p99_us"] = alone["p99_us"]
    figures["added_us"] = figures["p99_us"] - alone["p99_us"]
    return figures


def memory(server, row, seconds, cores):
    """The proportional set size for each worker after a second of load."""
    figures = wrk(server, row, 1, cores)
    return {"pss_bytes": server.pss_bytes() / row.workers, "errors": figures["errors"]}


def start(server, row, seconds, cores):
    """From exec to the first answer."""
    return {"start_s": server.start_seconds}


def warm(server, row):
    """Requests one after the other, until caches are filled and the interpreter has specialised the code."""
    body = pattern(row.body) if row.body else None
    end = time.monotonic() + WARM_SECONDS
    while time.monotonic() < end:
        server.ask(row.method, "/", body)


def wrk(server, row, seconds, cores):
    threads = len(cores)
    command = ["taskset", "-c", ",".join(map(str, cores)), "wrk", f"-t{threads}", f"-c{row.connections}", f"-d{seconds}s"]
    command += ["--timeout", f"{TIMEOUT_SECONDS}s", "-s", SCRIPT, f"http://127.0.0.1:{server.port}/", "--"]
    command += [row.method, "/", str(row.body)]
    ran = subprocess.run(command, capture_output=True, text=True)
    figures = next((json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")), None)
    if ran.returncode or figures is None:
        raise RuntimeError(f"wrk failed ({' '.join(map(str, command))}): {ran.stderr.strip() or ran.stdout.strip()}")
    figures["errors"] = {kind: count for kind, count in figures["errors"].items() if count}
    if not figures["requests"]:
        raise Wrong(f"answered nothing within {seconds} s of load, errors: {figures['errors'] or 'none'}")
    figures["rps"] = figures["requests"] / figures["seconds"]
    return figures


@contextlib.contextmanager
def slow_requests(server):
    """Keeps so many requests running that take a second each."""
    stop, failures = threading.Event(), []

    def client():
        while not stop.is_set() and not failures:
            try:
                server.ask("GET", "/slow")
            except (OSError, http.client.HTTPException) as error:
                failures.append(error or type(error).__name__)

    clients = [threading.Thread(target=client) for _ in range(SLOW_CLIENTS)]
    for thread in clients:
        thread.start()
    time.sleep(0.1)
    try:
        yield failures
    finally:
        stop.set()
        for thread in clients:
            thread.join()


def check(server, row, expected):
    """Compares a server's answer with that of the app without a server."""
    response, answer = server.ask(row.method, row.checked, pattern(row.body) if row.body else None)
    status, headers, right = expected
    if f"{response.status} {response.reason}" != status:
        raise Wrong(f"answers {response.status} {response.reason}, not {status}")
    for name in ("Content-Length", "Content-Type"):
        if response.getheader(name) != headers.get(name):
            raise Wrong(f"sends the {name} {response.getheader(name)}, not {headers.get(name)}")
    if answer != right:
        raise Wrong(f"sends another body: {len(answer)} bytes for {len(right)}, {answer[:40]!r} for {right[:40]!r}")
