"""gunicorn's logger `gunicorn.error`, whose handlers and level apps take for their own. Embedded into rwsgi.

What it is told goes to the error log. It is set up when `logging` is imported, not before: that takes longer than most
apps that are no more than a function.
"""

import sys

NAME = "gunicorn.error"
ACCESS = "gunicorn.access"


def install(level, tell, stream):
    """Sets the logger up with a numeric level; `tell(number, message)` says something in the error log's own form, and
    `stream` is a file that writes to it as it is."""
    if "logging" in sys.modules:
        set_up(sys.modules["logging"], level, tell, stream)
    else:
        sys.meta_path.insert(0, Finder(level, tell, stream))


class Finder:
    """Finds `logging` as others do, and sees when it is imported. Then its work is done."""

    def __init__(self, *args):
        self.args = args

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if hasattr(finder, "find_spec"))
        spec = next((spec for spec in specs if spec), None)
        if spec is None or spec.loader is None:
            return spec
        loader, execute = spec.loader, spec.loader.exec_module

        def exec_module(module):
            # This loader may go on to load other modules.
            del loader.exec_module
            execute(module)
            set_up(module, *self.args)

        loader.exec_module = exec_module
        return spec


def set_up(logging, level, tell, stream):
    class ErrorLogHandler(logging.StreamHandler):
        """Writes to the error log, in its form unless a formatter was set."""

        own = logging.Formatter()

        def emit(self, record):
            if self.formatter is not None:
                return super().emit(record)
            try:
                tell(record.levelno, self.own.format(record))
            except RecursionError:
                raise
            except Exception:
                self.handleError(record)

    # The access log takes nothing from apps, and nobody else is to have what they write for it.
    access = logging.getLogger(ACCESS)
    access.propagate = False
    access.addHandler(logging.NullHandler())
    logger = logging.getLogger(NAME)
    logger.propagate = False
    logger.setLevel(level)
    logger.addHandler(ErrorLogHandler(stream))
