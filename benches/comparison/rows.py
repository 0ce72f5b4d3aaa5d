"""What is measured: the rows of the table, and what rwsgi sets out to reach in each."""

import dataclasses
import typing

from comparison import measure


MICROSECONDS = ((1, "µs"), (1e3, "ms"), (1e6, "s"))
SECONDS = ((1e-3, "ms"), (1, "s"))
BYTES = ((1e6, "MB"),)
A_SECOND = ((1, "/s"),)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure: what it is called, and how it is written."""

    label: str
    units: tuple
    """Each with its size, the smallest first."""
    more: bool = False
    """Whether more is better."""

    def text(self, value):
        """With three figures and all of those before the point, in the largest unit that it has one of."""
        size, unit = next((each for each in reversed(self.units) if abs(value) >= each[0]), self.units[0])
        value /= size
        return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f} {unit}"


METRICS = {
    "cpu_us": Metric("CPU a request", MICROSECONDS),
    "rps": Metric("throughput", A_SECOND, more=True),
    "p50_us": Metric("median latency", MICROSECONDS),
    "p99_us": Metric("99 % within", MICROSECONDS),
    "alone_p99_us": Metric("99 % within, without slow ones", MICROSECONDS),
    "added_us": Metric("added by slow ones", MICROSECONDS),
    "pss_bytes": Metric("memory a worker", BYTES),
    "start_s": Metric("first answer", SECONDS),
}


@dataclasses.dataclass(frozen=True)
class Goal:
    """How far rwsgi's figure may be from that of the best of some servers, or from a bound of its own."""

    ratio: float = 1
    against: tuple = ()
    """Names of servers; none stands for all rivals."""
    metric: str = ""
    """The row's own unless it is named."""
    bound: typing.Optional[float] = None
    """In place of a ratio."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One thing that is measured for every server."""

    name: str
    title: str
    app: str
    goals: tuple
    measure: typing.Callable = measure.load
    metric: str = "cpu_us"
    beside: tuple = ("rps", "p50_us", "p99_us")
    """Further figures to show."""
    connections: int = 32
    threads: int = 0
    """How many call the app; 0 leaves it to the server."""
    workers: int = 1
    preload: bool = False
    """Whether the app is loaded before the workers are made, by servers that can."""
    body: int = 0
    """Bytes of the request's body; with one, the request is a POST."""
    checked: str = "/"
    """The target whose answer is compared with the app's."""
    floor: bool = False
    """Whether the app is called in a loop without a server, too."""
    longer: int = 1
    """How many times longer than others it is measured: a server may take in 32 uploads before it answers the first."""
    everywhere: bool = False
    """Whether server and load share all cores, instead of having one each."""

    @property
    def method(self):
        return "POST" if self.body else "GET"

    def has(self, server):
        """Whether a server can do this at all."""
        return server.workers or self.workers == 1


PLAIN, FLASK = "comparison.apps.plain:", "comparison.apps.flask_apps:"
FLOOR = "no-server"
NATIVE = ("bjoern", "fastwsgi")
FLASK_GOALS = (Goal(0.75, ("granian",)), Goal(0.95, NATIVE), Goal(1.15, (FLOOR,)))
BEST = (Goal(1.00),)
ALL_CORES = dict(
    connections=64, workers=4, everywhere=True, metric="rps", beside=("cpu_us", "p50_us", "p99_us"),
    goals=tuple(Goal(1.00, (rival,)) for rival in ("granian", "gunicorn-sync", "gunicorn-gthread", "uwsgi")),
)
MEMORY = dict(measure=measure.memory, metric="pss_bytes", beside=(), goals=BEST)
START = dict(measure=measure.start, metric="start_s", beside=(), goals=BEST)

ROWS = [
    Row("trivial", "a function that answers 14 bytes", PLAIN + "trivial", (Goal(0.55, ("granian",)), Goal(1.00, NATIVE)), floor=True),
    Row("flask-hello", "Flask: 14 bytes", FLASK + "hello", FLASK_GOALS, floor=True),
    Row("flask-json", "Flask: JSON of 20 items", FLASK + "json", FLASK_GOALS, floor=True),
    Row("flask-template", "Flask: a Jinja page of 20 items", FLASK + "template", FLASK_GOALS, floor=True),
    Row("download-100k", "an answer of 100 KB", PLAIN + "download_100k", BEST),
    Row("download-10m", "an answer of 10 MB", PLAIN + "download_10m", BEST, longer=2),
    Row("upload-100k", "an upload of 100 KB", PLAIN + "upload", BEST, body=100_000, checked="/?sha256"),
    Row("upload-10m", "an upload of 10 MB", PLAIN + "upload", BEST, body=10_000_000, checked="/?sha256", longer=2),
    Row(
        "waits", "an app that waits 10 ms, 16 threads, 64 connections", PLAIN + "waits",
        (Goal(1.00, ("gunicorn-gthread", "granian")), Goal(0.80, ("gunicorn-gthread", "granian"), "cpu_us")),
        metric="rps", beside=("cpu_us", "p50_us", "p99_us"), connections=64, threads=16,
    ),
    Row(
        "latency", "one connection, 14 bytes", PLAIN + "trivial", BEST,
        metric="p50_us", beside=("p99_us", "rps", "cpu_us"), connections=1,
    ),
    Row(
        "beside-slow", "fast requests beside three that take a second, 4 threads", PLAIN + "mixed",
        (Goal(metric="added_us", bound=5_000),),
        measure=measure.beside_slow, metric="p99_us", beside=("alone_p99_us", "added_us", "rps"), connections=8, threads=4,
    ),
    Row(
        "threads-flask", "one worker of 8 threads, all cores, Flask", FLASK + "hello",
        (Goal(1.00, ("gunicorn-gthread", "granian")),),
        metric="rps", beside=("cpu_us", "p50_us", "p99_us"), threads=8, everywhere=True,
    ),
    Row("workers", "4 workers, all cores, 64 connections, 14 bytes", PLAIN + "trivial", **ALL_CORES),
    Row("workers-flask", "4 workers, all cores, 64 connections, Flask", FLASK + "hello", **ALL_CORES),
    Row("memory", "memory, one worker, the function", PLAIN + "trivial", **MEMORY),
    Row("memory-flask", "memory, one worker, Flask", FLASK + "hello", **MEMORY),
    Row("memory-workers", "memory a worker, of four, Flask", FLASK + "hello", workers=4, **MEMORY),
    Row("memory-preload", "memory a worker, of four, Flask loaded before", FLASK + "hello", workers=4, preload=True, **MEMORY),
    Row("start", "from exec to the first answer, the function", PLAIN + "trivial", **START),
    Row("start-flask", "from exec to the first answer, Flask", FLASK + "hello", **START),
]
