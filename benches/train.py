#!/usr/bin/env python3
"""The load from which a profile-guided build learns what a server is at: `MATURIN_PGO=1 pip install ./python` runs this.

    python benches/train.py [PROGRAM]

PROGRAM (the rwsgi that is first in PATH) serves the apps below, and gets the requests that clients send: a load
generator's, curl's, a browser's; forms and uploads; over TCP, TLS and HTTP/2; with one thread and with several. Each answer
is checked.
How fast any of it is does not matter here, only how often what is done: the compiler puts what is done often close
together, and makes the rest small. What it has never seen done counts as rare, so what is added to rwsgi and matters for its
speed belongs here, too.

Flask, httpx[http2] and trustme are installed into the virtual environment it runs in, if they are missing there.
"""

import argparse
import contextlib
import http.client
import importlib.util
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__)
PACKAGES = {"flask": "flask", "h2": "httpx[http2]", "httpx": "httpx[http2]", "trustme": "trustme"}
CONNECTIONS = 32
BOOT_SECONDS = 60
STOP_SECONDS = 60
PLAIN = ("Content-Type", "text/plain; charset=utf-8")
PIECE = b"0123456789abcdef" * 1024
LARGE = PIECE * 64

# --- What is served.


class Closing:
    """What frameworks return: an iterable that wants to be closed."""

    def __init__(self, pieces):
        self.pieces = iter(pieces)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.pieces)

    def close(self):
        pass


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "14")])
    return [b"Hello, world!\n"]


def framework(environ, start_response):
    """Looks at a request as frameworks do."""
    seen = [environ.get(name, "") for name in ("HTTP_COOKIE", "HTTP_ACCEPT", "CONTENT_TYPE", "REMOTE_ADDR", "wsgi.url_scheme")]
    body = ("%s %s\n" % (environ["REQUEST_METHOD"], environ["PATH_INFO"]) + "\n".join(seen)).encode("latin-1")
    fields = [PLAIN, ("Content-Length", str(len(body))), ("Vary", "Cookie"), ("Cache-Control", "no-store")]
    start_response("200 OK", [*fields, ("Set-Cookie", "session=0123456789; HttpOnly; Path=/; SameSite=Lax")])
    return Closing([body])


def page(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(PIECE)))])
    return [PIECE]


def stream(environ, start_response):
    start_response("200 OK", [PLAIN])
    yield from (b"one\n", b"two\n", b"", b"three\n")


def large(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(LARGE)))])
    return [LARGE]


def file(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", str(HERE.stat().st_size))])
    return environ["wsgi.file_wrapper"](open(HERE, "rb"))


def written(environ, start_response):
    write = start_response("200 OK", [PLAIN])
    write(b"written, ")
    return [b"and returned\n"]


def nothing(environ, start_response):
    start_response("204 No Content", [])
    return []


def elsewhere(environ, start_response):
    start_response("302 Found", [("Location", "/hello"), ("Content-Length", "0")])
    return [b""]


def missing(environ, start_response):
    start_response("404 Not Found", [PLAIN])
    return [b"Not found\n"]


def form(environ, start_response):
    """Reads as much as was announced, as frameworks read forms and JSON."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [PLAIN])
    return [b"%d\n" % len(body)]


def upload(environ, start_response):
    """Reads in pieces until there is no more, whether or not a length was announced."""
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        size += len(piece)
    start_response("200 OK", [PLAIN])
    return [b"%d\n" % size]


def lines(environ, start_response):
    count = sum(1 for _ in environ["wsgi.input"])
    start_response("200 OK", [PLAIN])
    return [b"%d\n" % count]


def waits(environ, start_response):
    """As an app does that asks a database: other threads have Python for that long."""
    time.sleep(0.002)
    return hello(environ, start_response)


PATHS = {
    f"/{app.__name__}": app
    for app in (hello, framework, page, stream, large, file, written, nothing, elsewhere, form, upload, lines, waits)
}


def app(environ, start_response):
    return PATHS.get(environ["PATH_INFO"], missing)(environ, start_response)


def flask():
    from flask import Flask, jsonify, request

    made = Flask(__name__)
    made.add_url_rule("/hello", view_func=lambda: "Hello, world!\n", endpoint="hello")
    made.add_url_rule("/json", view_func=lambda: jsonify(items=[{"id": one, "name": "item"} for one in range(20)]), endpoint="json")
    made.add_url_rule("/form", view_func=lambda: f"{len(request.form)}\n", endpoint="form", methods=["POST"])
    return made


# --- What is asked for.

GENERATOR = b"Host: 127.0.0.1:8000\r\n"
CURL = b"Host: localhost:8000\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n"
BROWSER = (
    b"Host: shop.example\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\nUpgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n"
    b'Sec-CH-UA: "Chromium";v="142", "Not_A Brand";v="99"\r\nSec-CH-UA-Mobile: ?0\r\nSec-CH-UA-Platform: "Linux"\r\n'
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
    b"Referer: https://shop.example/items?page=2\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en,de;q=0.9\r\n"
    b"Cookie: session=eyJfcGVybWFuZW50Ijp0cnVlfQ.aR0dAA; theme=dark; csrftoken=0123456789abcdef0123456789abcdef\r\n"
)
PROXY = (
    b"Host: shop.example\r\nX-Real-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n"
    b"X-Request-ID: 7b1c2f0e6d5a4938\r\nUser-Agent: python-requests/2.32.5\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
)
FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 21\r\n", b"name=lamp&price=12.50"
JSON = b'Content-Type: application/json\r\nContent-Length: 1024\r\n', b'"' + b"x" * 1022 + b'"'
UPLOAD = b"Content-Type: application/octet-stream\r\nContent-Length: 262144\r\n", PIECE * 16
CHUNKED = b"Transfer-Encoding: chunked\r\n", (b"4000\r\n" + PIECE + b"\r\n") * 4 + b"0\r\n\r\n"
NO_BODY = b"", b""

# How often in a round, the request's line, who asks, its body, and what is answered: a status, and a body's length.
APP = [
    (40, "GET /hello", GENERATOR, NO_BODY, 200, 14),
    (10, "GET /framework?page=2&sort=price", CURL, NO_BODY, 200, None),
    (20, "GET /framework/caf%C3%A9", BROWSER, NO_BODY, 404, 10),
    (20, "GET /framework", BROWSER, NO_BODY, 200, None),
    (10, "GET /framework", PROXY, NO_BODY, 200, None),
    (10, "GET /page", BROWSER, NO_BODY, 200, len(PIECE)),
    (4, "GET /stream", CURL, NO_BODY, 200, 14),
    (1, "GET /large", CURL, NO_BODY, 200, len(LARGE)),
    (4, "GET /file", BROWSER, NO_BODY, 200, HERE.stat().st_size),
    (1, "GET /written", CURL, NO_BODY, 200, 22),
    (4, "GET /nothing", BROWSER, NO_BODY, 204, 0),
    (4, "GET /elsewhere", BROWSER, NO_BODY, 302, 0),
    (2, "HEAD /page", CURL, NO_BODY, 200, 0),
    (10, "POST /form", BROWSER, FORM, 200, 3),
    (6, "POST /form", PROXY, JSON, 200, 5),
    (3, "POST /upload", CURL, UPLOAD, 200, 7),
    (2, "POST /upload", CURL, CHUNKED, 200, 6),
    (2, "POST /lines", CURL, JSON, 200, 2),
]
FLASK = [
    (20, "GET /hello", GENERATOR, NO_BODY, 200, 14),
    (10, "GET /json", BROWSER, NO_BODY, 200, None),
    (4, "POST /form", BROWSER, FORM, 200, 2),
]
WAITS = [(4, "GET /waits", CURL, NO_BODY, 200, 14)]


class Failed(Exception):
    """An answer or an end that was not as it should be; the message says what came."""


@contextlib.contextmanager
def served(program, target, *options):
    """Serves an app while the body runs; the port that it is on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, target, "--chdir", HERE.parent, "--bind", f"127.0.0.1:{port}", "--log-level", "warning",
               # A client that has no processor for a while has its connection still.
               "--keep-alive", "600", *options]
    server = subprocess.Popen(command)
    try:
        until = time.monotonic() + BOOT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > until:
                    raise Failed(f"{program} does not serve {target}, see above.") from None
                time.sleep(0.05)
        yield port
        # In order, since it is at its end that a process writes down what it was at.
        server.send_signal(signal.SIGTERM)
        if server.wait(STOP_SECONDS):
            raise Failed(f"{program} ended with {server.returncode}, see above.")
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def ask(port, requests, rounds):
    """Sends each of the requests on all connections, and then reads the answers, round after round."""
    connections = [connect(port) for _ in range(CONNECTIONS)]
    count = 0
    for _ in range(rounds):
        for times, line, fields, (body_fields, body), status, length in requests:
            head = f"{line} HTTP/1.1\r\n".encode() + fields + body_fields + b"\r\n"
            for _ in range(times):
                for connection in connections:
                    connection.sendall(head + body)
                for connection in connections:
                    check(connection, line, status, length)
                count += len(connections)
    for connection in connections:
        connection.close()
    return count


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def check(connection, line, status, length):
    with http.client.HTTPResponse(connection, method=line.partition(" ")[0]) as answer:
        answer.begin()
        body = answer.read()
    if answer.status != status or length not in (None, len(body)):
        raise Failed(f"{line} was answered with {answer.status} and {len(body)} bytes.")


def ask_anew(port, times):
    """One request for each connection."""
    for _ in range(times):
        with connect(port) as connection:
            connection.sendall(b"GET /hello HTTP/1.1\r\n" + CURL + b"Connection: close\r\n\r\n")
            check(connection, "GET /hello", 200, 14)
    return times


def ask_securely(port, authority, times, http2):
    """Over TLS, as httpx asks."""
    import httpx

    count, version = 0, "HTTP/2" if http2 else "HTTP/1.1"
    for _ in range(times):
        with httpx.Client(http2=http2, verify=authority, base_url=f"https://localhost:{port}") as client:
            for line, body, length in (
                ("GET /hello", None, 14), ("GET /framework", None, None), ("GET /page", None, len(PIECE)),
                ("GET /hello", None, 14), ("GET /stream", None, 14), ("POST /form", PIECE[:500], 4),
                ("POST /upload", PIECE * 8, 7),
            ):
                method, _, path = line.partition(" ")
                try:
                    answer = client.request(method, path, content=body)
                except httpx.HTTPError as error:
                    raise Failed(f"{line} over TLS: {error}.") from None
                if answer.http_version != version or answer.status_code != 200 or length not in (None, len(answer.content)):
                    raise Failed(f"{line} over TLS: {answer.http_version} {answer.status_code}, {len(answer.content)} bytes.")
                count += 1
    return count


def ask_for_all(program):
    """Has everything served and asked for; what was, a line at a time."""
    with served(program, "train:app") as port:
        yield "one thread", ask(port, APP, 4) + ask_anew(port, 500)
    with served(program, "train:flask()") as port:
        yield "Flask", ask(port, FLASK, 3)
    with served(program, "train:app", "--threads", "4", "--workers", "2", "--access-logfile", os.devnull) as port:
        yield "four threads, two workers and an access log", ask(port, APP + WAITS, 2) + ask_anew(port, 200)
    with tempfile.TemporaryDirectory() as folder:
        keys, authority = certificates(pathlib.Path(folder))
        with served(program, "train:app", "--http-protocols", "h2,h1", *keys) as port:
            yield "TLS", ask_securely(port, authority, 40, http2=False)
            yield "HTTP/2", ask_securely(port, authority, 40, http2=True)


def certificates(folder):
    """Makes a certificate; the options that name it, and what lets a client trust it."""
    import ssl

    import trustme

    issuer = trustme.CA()
    issued = issuer.issue_cert("localhost")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    trusts = ssl.create_default_context()
    issuer.configure_trust(trusts)
    return ["--certfile", certificate, "--keyfile", key], trusts


def install():
    """Installs what is missing, where that is no one else's."""
    wanted = sorted({package for module, package in PACKAGES.items() if not importlib.util.find_spec(module)})
    if not wanted:
        return
    if sys.prefix == sys.base_prefix:
        raise Failed(f"{', '.join(wanted)} are missing: run this with the Python of a virtual environment.")
    if not importlib.util.find_spec("pip"):
        subprocess.run([sys.executable, "-m", "ensurepip"], check=True, stdout=subprocess.DEVNULL)
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted]).returncode:
        raise Failed(f"{', '.join(wanted)} cannot be installed, see above.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", default="rwsgi", help="what is to be trained (rwsgi)")
    asked = parser.parse_args().program
    program = shutil.which(asked)
    if not program:
        print(f"There is no {asked} to train: name the program, or install rwsgi.", file=sys.stderr)
        return 1
    try:
        install()
        for what, count in ask_for_all(program):
            print(f"{what}: {count} requests", file=sys.stderr, flush=True)
    except (Failed, OSError, http.client.HTTPException) as error:
        print(f"This is no load to learn from. {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
