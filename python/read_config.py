"""Reads a configuration file, which is Python. Embedded into rwsgi; the rules are gunicorn's app.base and config.

Runs in a process of its own. What the settings may be is checked by the one that gets them.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import json
import math
import os
import sys
import traceback
import types

NAME = "__config__"
POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class ValueRefused(Exception):
    """A value that cannot be used, as a sentence. No traceback: no code of the user's failed."""


def load(source, is_module):
    """The namespace of the module or file. Nothing is kept of the compiled file: it may change within a second."""
    if is_module:
        return vars(importlib.import_module(source))
    if source.endswith(".pyc"):
        loader = importlib.machinery.SourcelessFileLoader(NAME, source)
        code = loader.get_code(NAME)
    else:
        loader = importlib.machinery.SourceFileLoader(NAME, source)
        code = loader.source_to_code(loader.get_data(source), source)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(NAME, source, loader=loader))
    sys.modules[NAME] = module
    exec(code, vars(module))
    return vars(module)


def read(source, is_module, kinds):
    """What the file sets, as JSON: the values of the names in `kinds`, and the other names that it makes up."""
    environment, paths, mask = dict(os.environ), list(sys.path), umask()
    namespace = load(source, is_module)
    values = {name: encode(name, kind, namespace[name]) for name, kind in kinds.items() if name in namespace}
    unknown = [name for name, value in namespace.items() if name not in kinds and is_made_here(name, value)]
    surroundings = {
        "variables": {name: os.environ.get(name) for name in changed(environment, os.environ)},
        "paths": [path for path in sys.path if isinstance(path, str) and path not in paths and is_text(path)],
        "umask": umask() if umask() != mask else None,
        "acts": acts(source, is_module, namespace, kinds),
    }
    return json.dumps({"values": values, "unknown": unknown, "surroundings": surroundings})


def acts(source, is_module, namespace, settings):
    """Whether the file may do something to its process that the app would notice under gunicorn, and that the variables, the
    paths and the umask do not say: configure `logging`, say, or start a thread. What only makes values does not."""
    try:
        if is_module:
            source = importlib.util.find_spec(source).origin
        with open(source, "rb") as file:
            tree = ast.parse(file.read())
    except (AttributeError, ImportError, OSError, SyntaxError, TypeError, ValueError):
        return True  # it has no source
    return Acts(tree, namespace, settings).found


class Acts(ast.NodeVisitor):
    """Looks for statements at the level of the file that are there for what they do."""

    # What these do is known from what has changed afterwards, or is done once and for all.
    KNOWN = ("os.environ", "os.putenv", "os.unsetenv", "os.umask", "sys.path", "dotenv", "load_dotenv", "print",
             "os.makedirs", "os.mkdir", "os.remove", "os.unlink", "shutil")

    def __init__(self, tree, namespace, settings):
        self.found, self.settings = False, settings
        self.values = {name for name, value in namespace.items() if isinstance(value, (dict, list, set, bytearray))}
        self.used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        self.visit(tree)

    def visit_FunctionDef(self, node):
        """Does nothing yet, but for what decorates it."""
        if getattr(node, "decorator_list", None):
            self.found = True

    visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_FunctionDef

    def visit_Import(self, node):
        """A package that is not used is imported for what importing it does, and one whole file for all that it does."""
        for alias in node.names:
            module = getattr(node, "module", None) or alias.name
            name = alias.asname or alias.name.partition(".")[0]
            if name not in self.used and not is_standard(module.partition(".")[0]):
                self.found = True

    visit_ImportFrom = visit_Import

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call) and not self.is_known(node.value.func):
            self.found = True

    def visit_Assign(self, node):
        """What is called for a value that nobody asks for is called for what it does."""
        names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        if isinstance(node.value, ast.Call) and not any(name in self.used or name in self.settings for name in names):
            self.found = True
        self.generic_visit(node)

    def visit_Attribute(self, node):
        if not isinstance(node.ctx, ast.Load) and not self.is_known(node):
            self.found = True

    visit_Subscript = visit_Attribute

    def is_known(self, node):
        """Whether this is a part of a value that the file has made, or of what is known."""
        path = []
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                path.insert(0, node.attr)
            elif not isinstance(node, ast.Subscript):
                return False
            node = node.value
        name = ".".join([node.id, *path])
        return node.id in self.values or any(f"{name}.".startswith(f"{known}.") for known in self.KNOWN)


def is_standard(name):
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return name in names
    # Before Python 3.10.
    origin = getattr(getattr(sys.modules.get(name), "__spec__", None), "origin", None) or "built-in"
    return origin in ("built-in", "frozen") or origin.startswith(os.path.dirname(os.__file__)) and "-packages" not in origin


def changed(before, now):
    """The names of the variables that are not what they were, of those that are text."""
    names = [name for name in {*before, *now} if before.get(name) != now.get(name)]
    return sorted(name for name in names if is_text(name) and is_text(now.get(name, "")))


def is_text(value):
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8
        return False
    return True


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def hooks(source, is_module, names):
    """The functions of the hooks with these names."""
    namespace = load(source, is_module)
    return {name: resolved(name, namespace[name]) for name in names if name in namespace}


def is_made_here(name, value):
    if name.startswith("_") or isinstance(value, types.ModuleType):
        return False
    return not callable(value) or getattr(value, "__module__", None) == NAME


def encode(name, kind, value):
    if kind == "hook":
        return function(name, value)
    if kind == "class" and (inspect.isfunction(value) or inspect.ismethod(value)):
        value = value()
    return tagged(value)


def function(name, value):
    return tagged(resolved(name, value))


def resolved(name, value):
    if isinstance(value, str):
        value = imported(name, value)
    if not callable(value):
        raise ValueRefused(f"The value {value!r} of {name} is not callable.")
    return value


def imported(name, path):
    module_name, _, attribute = path.rpartition(".")
    if not module_name:
        raise ValueRefused(f"The value {path!r} of {name} is not the name of a function, as module.function is.")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueRefused(f"The value {path!r} of {name} cannot be imported: {error}.") from None


def arity(value):
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return 0
    return min(sum(parameter.kind in POSITIONAL for parameter in parameters), 255)


def tagged(value):
    """As JSON that says what it was, for what JSON alone would mix up."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return {"flag": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"number": int(value)}
    if isinstance(value, str):
        return {"text": str.__str__(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return {"list": [tagged(item) for item in value]}
    if isinstance(value, dict):
        return {"map": plain(value)}
    if inspect.isclass(value):
        return {"class": f"{value.__module__}.{value.__qualname__}"}
    if callable(value):
        name = getattr(value, "__qualname__", None) or type(value).__qualname__
        return {"function": {"name": name, "arity": arity(value)}}
    return {"other": repr(value)}


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return repr(value)


def describe(error):
    """The reason in one line, and the traceback from the user's own code on; none for what is no code's fault."""
    if isinstance(error, ValueRefused):
        return str(error), None
    reason = traceback.format_exception_only(type(error), error)[-1].strip()
    frame = error.__traceback__
    while frame is not None and is_ours(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return reason, "".join(traceback.format_exception(type(error), error, frame)).rstrip()


def is_ours(filename):
    return filename == __file__ or filename.startswith("<frozen importlib") or filename == importlib.__file__
