"""Finds the WSGI application that a spec names. Embedded into rwsgi; the rules are gunicorn's util.import_app.

What Python has not loaded by itself is imported where it is needed: an app that is no more than a function starts in half
the time so.
"""

import _frozen_importlib_external
import os
import sys

# Not `signal`, which takes longer.
import _signal
import faulthandler

MISSING = object()


class Standard:
    """Finds modules where they are without the app's directory, if they are among those that gunicorn loads before it
    looks there: an app with a `types.py` or a `queue.py` works as it does with gunicorn, since nothing is hidden by them.
    """

    def __init__(self, names, path):
        self.names, self.path = names, path

    def find_spec(self, name, path=None, target=None):
        if path is None and name in self.names:
            return _frozen_importlib_external.PathFinder.find_spec(name, self.path, target)


class SpecError(Exception):
    """The spec names nothing that can serve: exit code 4, and no traceback, since no code of the user's failed."""


def load(spec):
    module_name, _, expression = spec.partition(":")
    if module_name.startswith("."):
        raise SpecError(f"Failed to find module {module_name!r}: there is nothing that it could be relative to.")
    try:
        __import__(module_name)
        module = sys.modules[module_name]
    except ImportError:
        if module_name.endswith(".py") and os.path.exists(module_name):
            hint = f"{module_name[:-3]}:{expression or name_in(module_name[:-3])}"
            raise ImportError(f"Failed to find application, did you mean {hint!r}?") from None
        raise
    application = resolve(module, module_name, expression)
    if application is None:
        raise SpecError(f"Failed to find application object: {expression!r}")
    if not callable(application):
        raise SpecError("Application object must be callable.")
    return application


def name_in(module_name):
    """What an app in this module is called, which Python has imported on its way to `module_name.py`."""
    module = sys.modules.get(module_name)
    return next((name for name in ("application", "app") if hasattr(module, name)), "application")


def resolve(module, module_name, expression):
    names = (expression,) if expression.isidentifier() else () if expression else ("application", "app")
    for name in names:
        # Asked for once: a module may make its app when it is (PEP 562).
        application = getattr(module, name, MISSING)
        if application is not MISSING:
            return application
    if not expression:
        raise SpecError(f"Failed to find attribute 'application' or 'app' in {module_name!r}.")
    name, args, kwargs = parse(expression)
    try:
        application = getattr(module, name)
    except AttributeError:
        raise SpecError(f"Failed to find attribute {name!r} in {module_name!r}.") from None
    if args is None:
        return application
    try:
        return application(*args, **kwargs)
    except TypeError as error:
        # A TypeError out of the factory's own body is its author's to see; only a call that does not fit is the spec's.
        if error.__traceback__.tb_next is None:
            raise SpecError(f"The call {expression!r} does not fit {name!r}: {error}") from None
        raise


def parse(expression):
    import ast

    try:
        node = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError):
        raise SpecError(f"Failed to parse {expression!r} as an attribute name or function call.") from None
    if isinstance(node, ast.Name):
        return node.id, None, None
    if not isinstance(node, ast.Call):
        raise SpecError(f"Failed to parse {expression!r} as an attribute name or function call.")
    if not isinstance(node.func, ast.Name):
        raise SpecError(f"Function reference must be a simple name: {expression!r}")
    if any(keyword.arg is None for keyword in node.keywords):
        raise SpecError(f"Failed to parse arguments as literal values: {expression!r}")
    try:
        args = [ast.literal_eval(argument) for argument in node.args]
        kwargs = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
    except ValueError:
        raise SpecError(f"Failed to parse arguments as literal values: {expression!r}") from None
    return node.func.id, args, kwargs


def describe(error):
    """The reason in one line, and the traceback from the user's own code on."""
    import traceback

    reason = traceback.format_exception_only(type(error), error)[-1].strip()
    frame = error.__traceback__
    while frame is not None and is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    if frame is None and not isinstance(error, SyntaxError):
        # None of the user's code was reached: there is nothing to say but the reason.
        return reason, ""
    return reason, "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def call_term_handler():
    """As when the signal comes, but once the last request is answered. The process ends in any case."""
    handler = _signal.getsignal(_signal.SIGTERM)
    if not callable(handler) or handler is KEPT.get(_signal.SIGTERM):
        return
    try:
        handler(_signal.SIGTERM, None)
    except SystemExit:
        pass
    except BaseException:
        import traceback

        traceback.print_exc()


def is_ours(filename):
    return filename == __file__ or filename.startswith("<frozen importlib")


def start(directory, standard, dump_signal, error_log):
    sys.meta_path.insert(0, Standard(frozenset(standard), sys.path[:]))
    # sys.path[0] is the working directory, as in gunicorn.
    sys.path.insert(0, directory)
    # Prints where each thread is, even when one of them holds the GIL for ever.
    faulthandler.register(dump_signal, file=error_log, all_threads=True)


# What stands for rwsgi's own handlers in Python's table: an app may save one, call it, and put it back.
KEPT = {}


def keep_signals(signals, take_back):
    """Puts something into Python's table for each of rwsgi's handlers, of which Python knows nothing. `take_back` installs
    the handler of a signal again."""
    signal = _signal.signal

    def kept(signum, frame):
        take_back(signum)
        os.kill(os.getpid(), signum)

    def install(signalnum, handler):
        before = signal(signalnum, handler)
        # Python's own handler would wait until a request is called: rwsgi's is to know at once.
        if handler is KEPT.get(signalnum):
            take_back(signalnum)
        return before

    install.__doc__ = signal.__doc__
    for signum in signals:
        KEPT[signum] = kept
        signal(signum, kept)
    _signal.signal = install


def follow(directories):
    """Behind the working directory, as gunicorn has what its configuration file adds and where it was started."""
    for directory in map(os.fspath, reversed(directories)):
        if directory not in sys.path:
            sys.path.insert(1, directory)


def files(extra):
    """What the app consists of so far, and what else is to be watched, patterns expanded."""
    found = []
    if extra:
        import glob

        found = [file for pattern in extra for file in glob.glob(pattern, recursive=True)]
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str):
            found.append(file[:-1] if file.endswith((".pyc", ".pyo")) else file)
    return found


def add_paths(directories):
    """As gunicorn does for --pythonpath: each goes before what is there already."""
    for directory in map(os.path.abspath, directories):
        if directory not in sys.path:
            sys.path.insert(0, directory)
