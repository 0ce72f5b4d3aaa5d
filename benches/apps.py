"""The apps that every server is measured with."""

from flask import Flask

BODY = b"Hello, world!\n"


def trivial(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


flask_hello = Flask(__name__)


@flask_hello.route("/")
def hello():
    return BODY.decode()
