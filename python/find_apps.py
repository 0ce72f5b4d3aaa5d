"""Looks into Python files for WSGI apps, without importing them, and prints what it found as JSON.

Called with a folder and files relative to it. For each file: the names at module level that may be an app or a factory, with
what those are that speak ASGI; and in "bound" all names that the module has, unless nobody can tell them from its source.
"""

import ast
import json
import os
import sys

APP_NAMES = ("application", "app")
FACTORY_NAMES = ("create_app", "make_app")
# Where a call makes an ASGI app: how the name of the module begins, and the last name.
ASGI = {
    ("fastapi", "FastAPI"): "a FastAPI app",
    ("starlette", "Starlette"): "a Starlette app",
    ("quart", "Quart"): "a Quart app",
    ("litestar", "Litestar"): "a Litestar app",
    ("blacksheep", "Application"): "a BlackSheep app",
    ("sanic", "Sanic"): "a Sanic app",
    ("falcon.asgi", "App"): "a Falcon app for ASGI",
    ("django", "get_asgi_application"): "Django's ASGI app",
}
# What may bind names that stand nowhere.
TRICKS = ("globals", "vars", "locals", "exec", "eval", "setattr", "__dict__", "__builtins__", "modules", "f_globals")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def statements(body):
    """The statements that run when the module is imported, also those inside if, try and with."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "__main__" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            for field in ("body", "orelse", "finalbody"):
                yield from statements(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from statements(handler.body)


def called(node):
    """The name of what is called, without what is before the last dot."""
    if isinstance(node, ast.Call):
        function = node.func
        return getattr(function, "attr", None) or getattr(function, "id", None)
    return None


def origins(tree):
    """What imported names stand for."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                found[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.update({alias.asname or alias.name: node.module + "." + alias.name for alias in node.names})
    return found


def made_by(value, origin):
    """The full name of what is called, if that makes an ASGI app."""
    parts, node = [], value.func if isinstance(value, ast.Call) else None
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    name = ".".join([origin.get(getattr(node, "id", None), "")] + parts)
    return name if framework(name) else None


def framework(name):
    known = (what for (start, end), what in ASGI.items() if name.startswith(start + ".") and name.endswith("." + end))
    return next(known, None)


def kind_of_value(name, value, origin):
    if made_by(value, origin):
        return "asgi"
    if (called(value) or "").endswith("Flask"):
        return "flask"
    # a2wsgi's makes a WSGI app of one that is none.
    if name in APP_NAMES and not isinstance(value, ast.Constant) or called(value) == "ASGIMiddleware":
        return "value"
    return None


def required(function):
    """Whether a function cannot be called without arguments."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def returns(function, origin):
    """What makes the ASGI app that a function returns, if it never returns anything else."""
    made = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            made.setdefault(node.targets[0].id, set()).add(made_by(node.value, origin))
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    all_made = [made.get(it.id, {None}) if isinstance(it, ast.Name) else {made_by(it, origin)} for it in returned]
    all_made = set().union(*all_made)
    return all_made.pop() if len(all_made) == 1 else None


def names(tree, origin):
    """Names, what kind of thing each is, and what it is called or where it is imported from, where that is known."""
    for node in statements(tree.body):
        if isinstance(node, ast.FunctionDef) and returns(node, origin):
            # So that what it returns is known where it is called.
            origin[node.name] = returns(node, origin)
            yield node.name, "asgi", "a factory of " + framework(origin[node.name])
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    what = framework(made_by(node.value, origin) or "")
                    yield target.id, kind_of_value(target.id, node.value, origin), what
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            what = framework(made_by(node.value, origin) or "")
            yield node.target.id, kind_of_value(node.target.id, node.value, origin), what
        elif isinstance(node, ast.AsyncFunctionDef) and node.name in APP_NAMES:
            yield node.name, "asgi", "an async function"
        elif isinstance(node, ast.FunctionDef) and node.name in FACTORY_NAMES:
            yield node.name, "closed-factory" if required(node) else "factory", None
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in APP_NAMES:
            yield node.name, "value", None
        elif isinstance(node, ast.FunctionDef):
            yield node.name, "closed-function" if required(node) else "function", None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if name in APP_NAMES:
                    yield name, "import", "." * node.level + (node.module or "") + ":" + alias.name
                elif name in FACTORY_NAMES:
                    yield name, "imported-factory", None


def bound(tree):
    """All names that a module has, for certain no others; None where nobody can tell."""
    found, scope = set(), [tree]
    for node in ast.walk(tree):
        if getattr(node, "id", None) in TRICKS or getattr(node, "attr", None) in TRICKS:
            return None
        if isinstance(node, ast.ImportFrom) and any(alias.name in ("*", "modules") for alias in node.names):
            return None
        if isinstance(node, ast.Global):
            found.update(node.names)
        elif isinstance(node, ast.NamedExpr):
            found.add(node.target.id)
    while scope:
        for node in ast.iter_child_nodes(scope.pop()):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found.update(alias.asname or alias.name.partition(".")[0] for alias in node.names)
            else:
                # Functions, classes, exceptions that are caught, and what "match" takes apart.
                candidates = (getattr(node, "name", None), getattr(node, "rest", None))
                found.update(name for name in candidates if isinstance(name, str))
            # What is bound in these is theirs alone.
            if not isinstance(node, FUNCTIONS + (ast.ClassDef, ast.Lambda)):
                scope.append(node)
    return None if "__getattr__" in found else sorted(found)


def look(path):
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
        found = {}
        for name, kind, what in names(tree, origins(tree)):
            # The last binding of a name is what the module ends up with, if it is not one of several branches.
            before = found.get(name, (None, None))[0]
            if kind == "asgi" and before not in (None, "asgi"):
                kind = "value"
            found[name] = (kind, what if kind == "asgi" or before is None else None)
        all_names = bound(tree)
    except SyntaxError as error:
        return {"error": error.msg, "line": error.lineno or 1, "names": []}
    # What is nested too deeply is a MemoryError to the parser.
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        return {"error": str(error) or "too complex to parse", "names": []}
    known = [{"name": name, "kind": kind, "what": what} for name, (kind, what) in found.items() if kind]
    return {"names": known, "bound": all_names}


folder = sys.argv[1]
json.dump({name: look(os.path.join(folder, name)) for name in sys.argv[2:]}, sys.stdout)
