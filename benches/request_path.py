"""The apps of the benchmark request_path."""

import itertools

try:
    from flask import Flask
except ImportError:
    Flask = None

BODY = b"Hello, world!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
AGAIN = (ValueError, ValueError(), None)


def trivial(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


def starts_more_often(environ, start_response):
    """The same, after 100 calls of start_response."""
    for _ in itertools.repeat(None, 100):
        start_response("200 OK", HEADERS, AGAIN)
    return [BODY]


def reads(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def generates(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield BODY
    yield BODY
    yield BODY


if Flask:
    flask = Flask(__name__)

    @flask.route("/")
    def hello():
        return BODY.decode()


def in_a_loop(app):
    """An app that calls another one 100 times with a ready environ: what there is without a server."""

    def loop(environ, start_response):
        ready = dict(environ)
        status = fields = None

        def keep(given, headers, exc_info=None):
            nonlocal status, fields
            status, fields = given, headers

        for _ in itertools.repeat(None, 100):
            answer = app(ready.copy(), keep)
            body = b"".join(answer)
            if hasattr(answer, "close"):
                answer.close()
        start_response(status, fields)
        return [body]

    return loop


loop_trivial = in_a_loop(trivial)
loop_flask = in_a_loop(flask) if Flask else None
