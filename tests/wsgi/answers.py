"""An app whose paths are the functions below: every thing that an app may do with its answer, and some it may not."""

import io
import sys

CLOSED = []


class Body:
    """An iterable that remembers how often it was closed."""

    def __init__(self, name, items):
        self.name, self.items = name, items

    def __iter__(self):
        return iter(self.items)

    def close(self):
        CLOSED.append(self.name)
        print("closed", self.name, flush=True)


class ListWithClose(list):
    def close(self):
        CLOSED.append("list")


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/").replace("-", "_")](environ, start_response)


def closed(environ, start_response):
    """How often the iterable that the query names was closed."""
    start_response("200 OK", [])
    return [str(CLOSED.count(environ["QUERY_STRING"])).encode()]


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


# start_response


def status(environ, start_response):
    start_response(environ["QUERY_STRING"].replace("%20", " "), [])
    return [b"body"]


def fields(environ, start_response):
    start_response("200 OK", [("X-One", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "caf\xe9 \xff")])
    return [b""]


def write(environ, start_response):
    write = start_response("200 OK", [])
    write(b"one ")
    write(b"")
    write(b"two ")
    return [b"three"]


def write_is_none(environ, start_response):
    result = start_response("200 OK", [])(b"a")
    return [repr(result).encode()]


def exc_info_before(environ, start_response):
    start_response("200 OK", [("X-First", "1")])
    try:
        raise ValueError("found in time")
    except ValueError:
        start_response("503 Sorry", [("X-Second", "2")], sys.exc_info())
    return [b"sorry"]


def exc_info_first(environ, start_response):
    try:
        raise ValueError("before anything")
    except ValueError:
        start_response("503 Sorry", [], sys.exc_info())
    return [b"sorry"]


def exc_info_none(environ, start_response):
    start_response("200 OK", [], None)
    return [b"fine"]


def exc_info_after(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    try:
        raise ValueError("found too late")
    except ValueError:
        start_response("503 Sorry", [], sys.exc_info())
    yield b"never sent"


def twice(environ, start_response):
    start_response("200 OK", [])
    try:
        start_response("404 Not Found", [])
    except AssertionError:
        return [b"AssertionError"]
    return [b"no error"]


def twice_uncaught(environ, start_response):
    start_response("200 OK", [])
    start_response("404 Not Found", [])
    return [b"no error"]


def twice_after(environ, start_response):
    start_response("200 OK", [])
    yield b"begun "
    try:
        start_response("404 Not Found", [])
    except AssertionError:
        yield b"AssertionError"


def wrong(environ, start_response):
    """Calls start_response with what the query names, and says what it raises."""
    arguments = {
        "bytes-status": (b"200 OK", []),
        "int-status": (200, []),
        "none-status": (None, []),
        "none-headers": ("200 OK", None),
        "triple": ("200 OK", [("X-A", "1", "2")]),
        "string-pair": ("200 OK", ["ab"]),
        "bytes-name": ("200 OK", [(b"X-A", "1")]),
        "bytes-value": ("200 OK", [("X-A", b"1")]),
        "int-value": ("200 OK", [("Content-Length", 4)]),
        "beyond-latin-1": ("200 OK", [("X-A", "\u20ac")]),
        "surrogate": ("200 OK", [("X-A", "\udce9")]),
        "status-without-number": ("OK", []),
        "status-of-two-digits": ("20 OK", []),
        "interim-status": ("100 Continue", []),
        "empty-name": ("200 OK", [("", "1")]),
        "space-in-name": ("200 OK", [("X A", "1")]),
        "colon-in-name": ("200 OK", [("X:A", "1")]),
        "length-in-words": ("200 OK", [("Content-Length", "four")]),
        "negative-length": ("200 OK", [("Content-Length", "-1")]),
        "two-lengths": ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")]),
        "no-arguments": (),
        "no-headers": ("200 OK",),
    }
    start_response(*arguments[environ["QUERY_STRING"]])
    return [b"no error"]


ODD = ["\r\nSet-Cookie: injected=1", "\nSet-Cookie: injected=1", "\rx", "\0", "\r\n\r\ninjected", "\x7f", "\x1b[31m"]


def inject(environ, start_response):
    where, number = environ["QUERY_STRING"].split("-")
    value = environ["HTTP_X_SECRET"] + ODD[int(number)]
    if where == "status":
        start_response("200 " + value, [])
    elif where == "name":
        start_response("200 OK", [(value, "1")])
    else:
        start_response("200 OK", [("X-A", value)])
    return [b"no error"]


def hop_by_hop(environ, start_response):
    names = ["Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Proxy-Authenticate",
             "Proxy-Connection"]
    start_response("200 OK", [(name, "close") for name in names] + [("X-Kept", "1")])
    return [b"body"]


# Bodies


def generator(environ, start_response):
    start_response("200 OK", [])
    for number in range(100):
        yield b"%d," % number


def late_generator(environ, start_response):
    """start_response only runs with the first item."""
    yield b""
    start_response("201 Created", [("X-Late", "1")])
    yield b""
    yield b"late"


def empty_first(environ, start_response):
    start_response("200 OK", [])
    return [b"", b"", b"a", b"", b"b"]


def empty_list(environ, start_response):
    start_response("200 OK", [])
    return []


def tuple_of_one(environ, start_response):
    start_response("200 OK", [])
    return (b"tuple",)


def large_piece(environ, start_response):
    start_response("200 OK", [])
    yield b"a"
    yield b"b" * (3 << 20)
    yield b"c"


def none(environ, start_response):
    start_response("200 OK", [])


def no_start(environ, start_response):
    return [b"body"]


def no_start_empty(environ, start_response):
    return []


def text_piece(environ, start_response):
    start_response("200 OK", [])
    return ["text"]


def text(environ, start_response):
    start_response("200 OK", [])
    return "text"


def bytearray_piece(environ, start_response):
    start_response("200 OK", [])
    return [bytearray(b"buffer")]


def text_piece_later(environ, start_response):
    start_response("200 OK", [])
    return iter([b"begun", "text"])


def bytes_body(environ, start_response):
    """Iterating bytes gives ints, which are not bytes."""
    start_response("200 OK", [])
    return b"text"


# close()


def body(environ, start_response):
    start_response(environ.get("HTTP_X_STATUS", "200 OK"), [])
    return Body(environ["QUERY_STRING"], [b"one", b"two"])


def body_of_list(environ, start_response):
    start_response("200 OK", [])
    return ListWithClose([b"one"])


def body_that_raises(environ, start_response):
    def items():
        yield b"begun"
        raise ValueError("in the middle")

    start_response("200 OK", [])
    return Body("raises", items())


def body_that_raises_at_once(environ, start_response):
    def items():
        raise ValueError("at once")
        yield b""

    start_response("200 OK", [])
    return Body("at-once", items())


def body_without_start(environ, start_response):
    return Body("without-start", [b"one"])


def body_that_is_no_iterable(environ, start_response):
    class Odd:
        def close(self):
            CLOSED.append("odd")

    start_response("200 OK", [])
    return Odd()


def close_that_raises(environ, start_response):
    class Bad(Body):
        def close(self):
            raise ValueError("in close")

    start_response("200 OK", [])
    return Bad("bad", [b"one", b"two"])


def endless(environ, start_response):
    def items():
        while True:
            yield b"x" * 65536

    start_response("200 OK", [])
    return Body("endless", items())


def endless_write(environ, start_response):
    write = start_response("200 OK", [])
    try:
        while True:
            write(b"x" * 65536)
    finally:
        print("write ended", flush=True)


# file_wrapper


def file(environ, start_response):
    file = open(environ["QUERY_STRING"], "rb")
    CLOSED.append("open")
    start_response("200 OK", [])
    wrapper = environ["wsgi.file_wrapper"](file, 32768)
    environ["wsgi.errors"].flush()
    globals()["last_file"] = file
    return wrapper


def last_file_closed(environ, start_response):
    start_response("200 OK", [])
    return [repr(globals()["last_file"].closed).encode()]


def filelike(environ, start_response):
    class Readable:
        data = io.BytesIO(b"like a file")

        def read(self, size):
            return self.data.read(min(size, 4))

    start_response("200 OK", [("Content-Length", "11")])
    return environ["wsgi.file_wrapper"](Readable())


def file_from_the_middle(environ, start_response):
    file = io.BytesIO(b"skipped and sent")
    file.seek(8)
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](file, 3)


# Content-Length


def length(environ, start_response):
    """A body of five bytes: QUERY_STRING is KIND-LENGTH."""
    kind, length = environ["QUERY_STRING"].split("-")
    write = start_response("200 OK", [("Content-Length", length)])
    if kind == "list":
        return [b"12345"]
    if kind == "empty":
        return []
    if kind == "blank":
        return [b"", b""]
    if kind == "write":
        write(b"12345")
        return []
    return iter([b"12", b"345"])


# Failures


def raises(environ, start_response):
    raise ValueError("before the head")


def raises_after_start(environ, start_response):
    start_response("200 OK", [("X-Never", "1")])
    raise ValueError("before the first byte")


def raises_later(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    raise ValueError("after the first byte")


def raises_later_with_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    yield b"begun"
    raise ValueError("after the first byte")


def raises_and_holds_on(environ, start_response):
    start_response("200 OK", [])
    CLOSED.append(start_response)
    yield b"begun"
    raise ValueError("after the first byte")


def raises_chain(environ, start_response):
    try:
        raise KeyError("the cause")
    except KeyError as error:
        raise ValueError("the \x1b[31mconsequence\u20ac") from error


def system_exit(environ, start_response):
    sys.exit(3)


def system_exit_later(environ, start_response):
    start_response("200 OK", [])
    yield b"begun"
    sys.exit(3)


def keyboard_interrupt(environ, start_response):
    raise KeyboardInterrupt


def base_exception(environ, start_response):
    class Odd(BaseException):
        def __str__(self):
            raise ValueError("not even a text")

    raise Odd


def recursion(environ, start_response):
    return recursion(environ, start_response)
