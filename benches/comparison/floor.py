"""An app without a server: called in a loop, as the floor, or once, for the answer that every server has to give.

Runs in the environment of the servers: `python -m comparison.floor loop MODULE:NAME SECONDS` prints how many calls there
were and the seconds of CPU time that they took; `once MODULE:NAME TARGET BYTES` prints the answer, in JSON.
"""

import base64
import importlib
import io
import json
import sys
import time

from comparison.apps.plain import pattern

CALLS = 100  # between two looks at the clock


def environ(target="/", body=b""):
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": "POST" if body else "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def call(app, environ):
    answer = []
    result = app(environ, lambda status, headers, exc_info=None: answer.extend((status, headers)))
    try:
        answer.append(b"".join(result))
    finally:
        if hasattr(result, "close"):
            result.close()
    return answer


def loop(app, seconds):
    ready = environ()
    for _ in range(CALLS * 3):  # until the interpreter has specialised the code
        call(app, dict(ready))
    calls, wall, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - wall < seconds:
        for _ in range(CALLS):
            call(app, dict(ready))
        calls += CALLS
    return {"requests": calls, "cpu_seconds": time.process_time() - cpu, "seconds": time.perf_counter() - wall}


def once(app, target, size):
    status, headers, body = call(app, environ(target, pattern(size)))
    return {"status": status, "headers": headers, "body": base64.b64encode(body).decode()}


if __name__ == "__main__":
    what, spec, *rest = sys.argv[1:]
    module, _, name = spec.partition(":")
    app = getattr(importlib.import_module(module), name)
    print(json.dumps(loop(app, float(rest[0])) if what == "loop" else once(app, rest[0], int(rest[1]))))
