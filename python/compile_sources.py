"""Compiles Python sources to byte code, somewhere else than where they are.

Reads JSON from standard input: {"fate": "fixed", "files": [[source, byte code, name in the image], ...]}. What becomes of the
sources decides what is in the byte code: where they are "fixed", it is taken as it is; where they are "changeable", it is
compared with them at each import; where they are "absent", help texts go with them, but not where they are "absentbuthelp".
A file that does not compile is left out: packages ship templates and code for other versions, which nothing ever imports.
"""

import ast
import importlib.util
import json
import marshal
import os
import sys
import warnings

warnings.simplefilter("ignore")
order = json.load(sys.stdin)
absent = order["fate"] == "absent"
# PEP 552: by hash, and whether it is checked.
FLAGS = 0b11 if order["fate"] == "changeable" else 0b01
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def without_help(source, name):
    """The syntax tree with empty docstrings, which can be used like others, unless the module itself uses its own."""
    tree = ast.parse(source, name)
    if b"__doc__" not in source:
        for node in ast.walk(tree):
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False):
                node.body[0].value = ast.copy_location(ast.Constant(""), node.body[0].value)
    return tree


def compiled(source, name):
    code = compile(without_help(source, name) if absent else source, name, "exec", dont_inherit=True, optimize=0)
    header = importlib.util.MAGIC_NUMBER + FLAGS.to_bytes(4, "little") + importlib.util.source_hash(source)
    return header + marshal.dumps(code)


def work(source, target, name):
    try:
        with open(source, "rb") as file:
            byte_code = compiled(file.read(), name)
        with open(target, "wb") as file:
            file.write(byte_code)
    # What is nested too deeply is a MemoryError to the parser.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    except OSError as error:
        os.write(2, ("%s\n" % error).encode())
        return 1
    return 0


# Each in a process of its own: whether a string was in use already, by something compiled before, shows in byte code.
limit = min(len(os.sched_getaffinity(0)), 8)
running = failed = 0
for file in order["files"]:
    if running == limit:
        failed |= os.wait()[1]
        running -= 1
    if os.fork() == 0:
        os._exit(work(*file))
    running += 1
for _ in range(running):
    failed |= os.wait()[1]
sys.exit(1 if failed else 0)
