"""Looks into Python files for WSGI apps, without importing them, and prints what it found as JSON.

Called with a folder and files relative to it. For each file: the names at module level that may be an app or a factory.
"""

import ast
import json
import os
import sys

APP_NAMES = ("application", "app")
FACTORY_NAMES = ("create_app", "make_app")


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


def kind_of_value(name, value):
    if (called(value) or "").endswith("Flask"):
        return "flask"
    if name in APP_NAMES and not isinstance(value, ast.Constant):
        return "value"
    return None


def required(function):
    """Whether a function cannot be called without arguments."""
    arguments = function.args
    positional = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return positional > 0 or any(default is None for default in arguments.kw_defaults)


def names(tree):
    for node in statements(tree.body):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, kind_of_value(target.id, node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, kind_of_value(node.target.id, node.value)
        elif isinstance(node, ast.FunctionDef) and node.name in FACTORY_NAMES:
            yield node.name, "closed-factory" if required(node) else "factory"
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in APP_NAMES:
            yield node.name, "value"
        elif isinstance(node, ast.FunctionDef):
            yield node.name, "closed-function" if required(node) else "function"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if name in APP_NAMES:
                    yield name, "import"
                elif name in FACTORY_NAMES:
                    yield name, "imported-factory"


def look(path):
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
        # The last binding of a name is what the module ends up with.
        found = {name: kind for name, kind in names(tree)}
    # What is nested too deeply is a MemoryError to the parser.
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {"error": str(error) or "too complex to parse", "names": []}
    return {"names": [{"name": name, "kind": kind} for name, kind in found.items() if kind]}


folder = sys.argv[1]
json.dump({name: look(os.path.join(folder, name)) for name in sys.argv[2:]}, sys.stdout)
