"""Apps that are a function and nothing else: what they cost is the server's."""

import hashlib
import time

HELLO = b"Hello, world!\n"
PIECE = 64 * 1024


def pattern(size):
    """So many bytes, of which no piece can be missing, repeated or elsewhere without being seen."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


def answer(start_response, body, status="200 OK"):
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def trivial(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def sends(size):
    body = pattern(size)
    return lambda environ, start_response: answer(start_response, body)


download_100k = sends(100_000)
download_10m = sends(10_000_000)


def upload(environ, start_response):
    """Says how many bytes it read, or their hash if it is asked; answers 400 if some are missing."""
    # PEP 3333 lets both be missing.
    digest = hashlib.sha256() if environ.get("QUERY_STRING") == "sha256" else None
    expected, size = int(environ.get("CONTENT_LENGTH") or 0), 0
    while size < expected:
        piece = environ["wsgi.input"].read(min(PIECE, expected - size))
        if not piece:
            return answer(start_response, b"%d bytes came\n" % size, "400 Bad Request")
        size += len(piece)
        if digest:
            digest.update(piece)
    return answer(start_response, (digest.hexdigest() if digest else str(size)).encode())


def waits(environ, start_response):
    """As long as a database takes to answer."""
    time.sleep(0.01)
    return answer(start_response, HELLO)


def mixed(environ, start_response):
    """Fast, but for one path."""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    return answer(start_response, HELLO)
