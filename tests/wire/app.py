"""An app whose paths are the functions below. What it sends is known byte by byte: `content` says which byte is where."""

import os
import threading
import time

PERIOD = bytes(range(251))


def content(size, start=0):
    start %= 251
    return (PERIOD * ((size + start) // 251 + 1))[start:start + size]


def app(environ, start_response):
    function = globals()[environ["PATH_INFO"].strip("/").replace("-", "_") or "hello"]
    arguments = [int(number) for number in environ["QUERY_STRING"].split(",") if number]
    return function(environ, start_response, *arguments)


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


def piecewise(environ, start_response):
    """Answers what it reads, as it reads it."""
    start_response("200 OK", [])
    return iter(lambda: environ["wsgi.input"].read(1000), b"")


def first(environ, start_response, size):
    """Reads so much of the body and leaves the rest."""
    start_response("200 OK", [])
    return [environ["wsgi.input"].read(size)]


def ignore(environ, start_response):
    start_response("200 OK", [])
    return [b"ignored"]


def large(environ, start_response, size):
    start_response("200 OK", [])
    return [content(size)]


def pieces(environ, start_response, count, size):
    start_response("200 OK", [])
    return (content(size, number * size) for number in range(count))


def announced(environ, start_response, count, size):
    start_response("200 OK", [("Content-Length", str(count * size))])
    return (content(size, number * size) for number in range(count))


def gaps(environ, start_response):
    start_response("200 OK", [])
    return [b"", b"a", b"", b"", b"bc", b""]


def nothing(environ, start_response):
    start_response("200 OK", [])
    return []


def empty(environ, start_response, status):
    start_response(f"{status} Fine", [("X-Status", str(status))])
    return [b"not to be seen"]


def file(environ, start_response, start=0, size=None):
    opened = open("file", "rb")
    opened.seek(start)
    start_response("200 OK", [] if size is None else [("Content-Length", str(size))])
    return environ["wsgi.file_wrapper"](opened)


def proc(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open("/proc/version", "rb"))


def pipe(environ, start_response):
    reader, writer = os.pipe()
    os.write(writer, content(5000))
    os.close(writer)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](os.fdopen(reader, "rb"))


def text(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open("app.py"))


def hints(environ, start_response):
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start_response("200 OK", [])
    environ["wsgi.early_hints"]([("Link", "</b.css>; rel=preload")])
    yield b"first"
    environ["wsgi.early_hints"]([("Link", "</late.css>; rel=preload")])
    yield b"second"


def fails(environ, start_response, size):
    """Fails behind so many bytes."""
    start_response("200 OK", [])
    for at in range(0, size, 10_000):
        yield content(min(10_000, size - at), at)
    raise ValueError("on purpose")


def forks(environ, start_response):
    """Fails while a process that it has started goes on, which has all that the worker has."""
    worker = os.getpid()
    start_response("200 OK", [])
    yield b"begun"
    if os.fork() == 0:
        while not os.path.exists("go") and os.getppid() == worker:
            time.sleep(0.005)
        os.write(1, b"the child ends\n")
        os._exit(0)
    raise ValueError("on purpose")


def fails_announced(environ, start_response, size):
    start_response("200 OK", [("Content-Length", str(size + 1))])
    yield content(size)
    raise ValueError("on purpose")


def raises(environ, start_response):
    raise ValueError("on purpose")


def short(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"12345"]


def long(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"12", b"345"]


def fields(environ, start_response):
    start_response("200 Quite  fine", [
        ("x-LOWER-Upper", "1"), ("Content-Type", "text/plain"), ("Set-Cookie", "a=1"), ("X-Empty", ""),
        ("set-cookie", "b=2"), ("X-Spaces", "  in between  "), ("Connection", "close"), ("Server", "mine"),
        ("Transfer-Encoding", "chunked"), ("Content-length", "4"), ("Date", "today"), ("ETag", '"x"'),
    ])
    return [b"body"]


def wait_for(name):
    os.write(1, b"waits for %s\n" % name.encode())
    while not os.path.exists(name):
        time.sleep(0.005)


def waits(environ, start_response):
    wait_for("go")
    start_response("200 OK", [])
    return [b"waited"]


def reads_late(environ, start_response):
    wait_for("go")
    return echo(environ, start_response)


def events(environ, start_response):
    """Server-sent events, each when the test asks for it."""
    def each():
        try:
            for number in range(4):
                if number:
                    wait_for(f"event-{number}")
                yield b"data: %d\n\n" % number
        finally:
            os.write(1, b"events are over\n")

    start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
    return each()


def endless(environ, start_response):
    def each():
        try:
            while True:
                yield content(50_000)
        finally:
            os.write(1, b"endless is over\n")

    start_response("200 OK", [])
    return each()


def begins_first(environ, start_response):
    """Begins its answer before it reads."""
    start_response("200 OK", [])
    yield b"begun"
    wait_for("go")
    yield environ["wsgi.input"].read()


def whole_first(environ, start_response):
    """Has answered before it reads."""
    start_response("200 OK", [("Content-Length", "5")])
    yield b"whole"
    try:
        environ["wsgi.input"].read()
    except OSError:
        os.write(1, b"the body broke off\n")


def writes_beside(environ, start_response):
    """Fails while a thread of its own writes to a client that takes nothing."""
    write = start_response("200 OK", [("X-Accel-Buffering", "no")])
    threading.Thread(target=endlessly, args=(write,), daemon=True).start()
    wait_for("go")
    raise ValueError("on purpose")


def endlessly(write):
    try:
        while True:
            write(content(50_000))
    except OSError:
        pass


def rewritten(environ, start_response):
    """A file that was written to, and is not flushed before it is closed."""
    opened = open("rewritten", "r+b")
    opened.close = lambda: (time.sleep(0.05), type(opened).close(opened))
    opened.read(4)
    opened.seek(0)
    opened.write(b"new!")
    opened.seek(0)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](opened)
