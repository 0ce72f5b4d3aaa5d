"""What a run needs: the program, wrk, and the rivals in an environment of their own, on the Python that rwsgi embeds."""

import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from comparison.servers import BENCHES, SERVERS

ROOT = BENCHES.parent
VENV = ROOT / "target" / "bench" / "venv"
# Where rwsgi is installed as the README says, and what it is made of.
INSTALLED = ROOT / "target" / "bench" / "rwsgi"
SOURCES = ["src", "python", "images", "benches/train.py", "Cargo.toml", "Cargo.lock"]
# fastwsgi imports pkg_resources, which later versions lack.
PACKAGES = sorted({server.package for server in SERVERS if server.package}) + ["flask", "setuptools<81"]
TOOLS = {"wrk": "wrk", "taskset": "util-linux"}
FLAGS = "import sysconfig; print(sysconfig.get_config_var('CONFIG_ARGS'))"
LINKED_IN = "print('libpython' not in open('/proc/self/maps').read())"
LIBEV = [pathlib.Path(place, "ev.h") for place in ("/usr/include", "/usr/include/libev", "/usr/local/include")]


# Says to this program, run again, where the libpython is that it runs.
OWN_COPY = "BENCHES_LIBPYTHON"


class Missing(Exception):
    """Something that the run needs is not there; the message says what to do."""


class Environment:
    """The places that a server's command line names, and the variables it is started with."""

    def __init__(self, rwsgi):
        self.cores = sorted(os.sched_getaffinity(0))
        if len(self.cores) < 2:
            raise Missing("There is one core only: a server and its load cannot be kept apart. Give it two.")
        for tool, package in TOOLS.items():
            if not shutil.which(tool):
                raise Missing(f"There is no {tool}: install it (Debian: apt-get install {package}).")
        self.alone()
        self.rwsgi = rwsgi or built()
        if not output(self.rwsgi, "--version").startswith("rwsgi "):
            raise Missing(f"{self.rwsgi} is not rwsgi: name another program with --rwsgi.")
        self.python = VENV / "bin" / "python"
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.versions = self.install()
        self.variables["VIRTUAL_ENV"] = str(VENV)
        self.places = {"rwsgi": self.rwsgi, "python": self.python, "bin": VENV / "bin", "venv": VENV, "benches": BENCHES}

    def alone(self):
        """Two runs at a time would measure each other."""
        VENV.parent.mkdir(parents=True, exist_ok=True)
        self.lock = open(VENV.parent / "lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Missing("Another benches/compare is under way here: wait until it has ended.") from None

    def install(self):
        """Makes the environment, unless it is there for this Python and these packages; what it has."""
        version = output(self.rwsgi, "--version")
        mark, wanted = VENV / "packages", "\n".join([version, *PACKAGES])
        if not mark.is_file() or mark.read_text() != wanted:
            if not shutil.which("cc"):
                raise Missing("There is no C compiler to build bjoern and uWSGI with (Debian: apt-get install build-essential).")
            if not any(header.exists() for header in LIBEV):
                raise Missing("There are no headers of libev to build bjoern with (Debian: apt-get install libev-dev).")
            print(f"installing {', '.join(PACKAGES)} into {VENV.relative_to(ROOT)} ...", file=sys.stderr)
            run([self.rwsgi, "python", "-m", "venv", "--clear", VENV], self.variables)
            run([self.python, "-m", "pip", "install", "--quiet", *PACKAGES], self.variables)
            mark.write_text(wanted)
        listed = json.loads(output(self.python, "-m", "pip", "list", "--format", "json"))
        return {item["name"].lower(): item["version"] for item in listed}

    def floor(self, *arguments):
        """Runs the app without a server (floor.py), on the servers' core."""
        command = ["taskset", "-c", str(self.cores[0]), self.python, "-m", "comparison.floor", *arguments]
        ran = subprocess.run(command, cwd=BENCHES, env=self.variables, check=True, capture_output=True, text=True)
        return json.loads(ran.stdout)

    def about(self):
        """What a reader has to know of the machine and the programs."""
        names = ["flask", *(server.package for server in SERVERS if server.package)]
        return {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
            "rwsgi": output(self.rwsgi, "--version"),
            "rwsgi_profiled": self.rwsgi == INSTALLED / "bin" / "rwsgi",
            "commit": output("git", "-C", ROOT, "describe", "--always", "--dirty"),
            "versions": {name: self.versions[name] for name in dict.fromkeys(names)},
            "wrk": output("wrk", "--version").splitlines()[0].partition(" [")[0].removeprefix("wrk "),
            "python": output(self.python, "-c", "import platform; print(platform.python_version())"),
            "python_linked_in": output(self.rwsgi, "python", "-c", LINKED_IN) == "True",
            "python_profiled": "--enable-optimizations" in output(self.python, "-c", FLAGS),
            "kernel": f"{platform.system()} {platform.release()}",
            "cpu": cpu_model(),
            "cores": len(self.cores),
        }


def share_nothing():
    """Runs this program again with a copy of libpython: who measures memory must not share the pages of who is measured."""
    copy = os.environ.pop(OWN_COPY, None)
    if copy:
        others = os.environ.pop("LD_LIBRARY_PATH").removeprefix(copy).lstrip(":")
        os.environ |= {"LD_LIBRARY_PATH": others} if others else {}
        shutil.rmtree(copy)
        return
    maps = pathlib.Path("/proc/self/maps").read_text().splitlines()
    library = next((line[line.index("/"):] for line in maps if "/libpython" in line), None)
    if library:
        copy = tempfile.mkdtemp()
        shutil.copy(library, copy)
        places = [copy, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        os.environ |= {OWN_COPY: copy, "LD_LIBRARY_PATH": ":".join(places)}
        os.execv(sys.executable, [sys.executable, *sys.argv])


def built():
    """rwsgi as the README has it installed for speed, built anew when its sources have changed."""
    program, mark, wanted = INSTALLED / "bin" / "rwsgi", INSTALLED / "sources", digest()
    if not program.exists() or not mark.is_file() or mark.read_text() != wanted:
        if not shutil.which("cargo"):
            raise Missing("There is no cargo to build rwsgi with: install Rust, or name a program with --rwsgi.")
        print("building rwsgi with a profile, which takes some ten minutes ...", file=sys.stderr)
        run([sys.executable, "-m", "venv", "--clear", INSTALLED], os.environ)
        install = [INSTALLED / "bin" / "python", "-m", "pip", "install", "--quiet", ROOT / "python"]
        run(install, os.environ | {"MATURIN_PGO": "1"})
        mark.write_text(wanted)
    return program


def digest():
    """Of all files that rwsgi is built from."""
    seen = hashlib.sha256()
    for source in SOURCES:
        for path in sorted([ROOT / source, *(ROOT / source).rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                seen.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return seen.hexdigest()


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def run(command, environment):
    if subprocess.run(command, env=environment).returncode:
        raise Missing(f"This failed, see above: {' '.join(map(str, command))}")


def output(*command):
    """What a command prints; wrk --version ends with 1."""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()
