"""Goes around the rows and the servers, so that a busy moment of the machine falls on all of them."""

import base64
import http.client
import sys

from comparison import measure
from comparison.rows import FLOOR
from comparison.servers import Running, Wrong


def measure_rounds(environment, rows, servers, rounds, seconds, keep):
    """Measures every row with every server so many times. `keep` is given all figures after each round."""
    expected = {row.name: right_answer(environment, row) for row in rows}
    results = {row.name: {name: [] for name in names(row, servers)} for row in rows}
    for number in range(rounds):
        for row in rows:
            # Whoever is first is another one in each round.
            turn = number % len(servers)
            for server in filter(row.has, [*servers[turn:], *servers[:turn]]):
                progress(f"round {number + 1} of {rounds}, {row.name}: {server.name}")
                results[row.name][server.name].append(measured(environment, row, server, seconds, expected[row.name]))
            if row.floor:
                progress(f"round {number + 1} of {rounds}, {row.name}: {FLOOR}")
                results[row.name][FLOOR].append(floor(environment, row, seconds))
        keep(results)
    progress("")


def names(row, servers):
    return [server.name for server in servers if row.has(server)] + [FLOOR] * row.floor


def right_answer(environment, row):
    """What the app answers without a server: status, headers and body."""
    answer = environment.floor("once", row.app, row.checked, str(row.body))
    return answer["status"], dict(answer["headers"]), base64.b64decode(answer["body"])


def floor(environment, row, seconds):
    figures = environment.floor("loop", row.app, str(seconds))
    figures["cpu_us"] = figures["cpu_seconds"] / figures["requests"] * 1e6
    return figures


def measured(environment, row, server, seconds, expected):
    """The figures of one server, and under "wrong" what it did wrong."""
    own, load = environment.cores[:1], environment.cores[1:2]
    if row.everywhere:
        own = load = environment.cores
    figures = {}
    try:
        with Running(server, row.app, environment, own, row.workers, row.threads, row.preload) as running:
            measure.check(running, row, expected)
            figures = row.measure(running, row, seconds * row.longer, load)
            check_load(row, figures, expected)
            measure.check(running, row, expected)
    except Wrong as wrong:
        figures["wrong"] = str(wrong)
    except (OSError, http.client.HTTPException) as error:
        figures["wrong"] = f"breaks off: {error or type(error).__name__}"
    return figures


def check_load(row, figures, expected):
    if figures.get("errors"):
        raise Wrong("under load: " + ", ".join(f"{count} {kind} errors" for kind, count in figures["errors"].items()))
    _, _, body = expected
    if row.checked == "/" and figures.get("bytes", 0) < figures.get("requests", 0) * len(body):
        raise Wrong(f"under load: {figures['bytes']} bytes for {figures['requests']} answers of {len(body)}")


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr)
