"""Reads what a configuration file sets to literals, without running it, and prints that as JSON, in the form of read_config.py.

Called with the file. Only a name that one statement binds, in the file's first column, has its value for certain.
"""

import ast
import collections
import json
import sys


def encode(value):
    """The value as JSON, if a source can have it as a literal."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return {"flag": value}
    if isinstance(value, int) and abs(value) < 1 << 63:
        return {"number": value}
    if isinstance(value, str):
        # What is no text to UTF-8 is none to JSON.
        return {"text": value.encode().decode()}
    if isinstance(value, (list, tuple)):
        return {"list": [encode(one) for one in value]}
    raise ValueError(value)


def literals(tree):
    bound = collections.Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] += 1
        elif isinstance(node, ast.Global):
            bound.update(node.names)
        elif getattr(node, "id", None) in ("globals", "locals", "vars", "exec"):
            return
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and all(isinstance(target, ast.Name) for target in targets):
            try:
                value = encode(ast.literal_eval(node.value))
            # What is no literal has some value all the same.
            except (ValueError, TypeError, RecursionError, MemoryError):
                continue
            for target in targets:
                if bound[target.id] == 1:
                    yield target.id, value


try:
    with open(sys.argv[1], "rb") as file:
        found = dict(literals(ast.parse(file.read(), sys.argv[1])))
except SyntaxError as error:
    found = {"": {"text": "line %s, cannot be read as Python (%s)" % (error.lineno or 1, error.msg)}}
except (OSError, ValueError, RecursionError, MemoryError):
    found = {}
json.dump(found, sys.stdout)
