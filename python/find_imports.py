"""Follows imports from module to module, without importing anything, and prints as JSON those that lead elsewhere.

Reads JSON from standard input: {"starts": [module, ...], "scripts": [path, ...], "files": {path: file, ...}, "archive": tar or
null, "place": the folder in it that modules are looked for in, "later": whether imports inside functions count}. Scripts are
those files that run before the modules and are none. Paths in "files" are relative to the folder that modules are looked for
in. Imports count that are certain to happen: not below an "if", and not where their failure is expected. Prints {"imports":
[{"module", "file", "line", "later", "start"}, ...], "searches": whether any file that was read changes where modules are
looked for}; "start" is the index of the module that led there.
"""

import ast
import collections
import json
import sys
import tarfile

EXPECTED = ("ImportError", "ModuleNotFoundError", "Exception")
order = json.load(sys.stdin)


def statements(body, later):
    """The statements that are certain to run, and whether only when a function is called."""
    for node in body:
        yield node, later
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if order["later"]:
                yield from statements(node.body, True)
        elif isinstance(node, ast.ClassDef):
            yield from statements(node.body, later)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            # contextlib.suppress
            if not any("suppress" in ast.dump(item.context_expr) for item in node.items):
                yield from statements(node.body, later)
        elif isinstance(node, ast.Try):
            if not any(expects(handler) for handler in node.handlers):
                yield from statements(node.body, later)
            yield from statements(node.finalbody, later)


def expects(handler):
    """Whether a failed import ends up here."""
    return handler.type is None or any(name in ast.dump(handler.type) for name in EXPECTED)


def imported(tree, package):
    """The modules that a module imports. What is imported from one may be a module or not: both are named."""
    for node, later in statements(tree.body, False):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, later
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package[: len(package) - node.level + 1]
                base = ".".join(parents + ([base] if base else []))
            if base:
                yield base, node.lineno, later
                for alias in node.names:
                    yield base + "." + alias.name, node.lineno, later


class Modules:
    """The modules there are: where each is, and how to read it."""

    def __init__(self):
        self.found, self.names, self.tar = {}, set(), None
        for path, file in order["files"].items():
            self.add(path, file)
        if order["archive"]:
            self.tar = tarfile.open(order["archive"], "r:")
            place = order["place"].strip("/") + "/"
            for member in self.tar:
                if member.name.startswith(place):
                    self.add(member.name[len(place) :], member)

    def add(self, path, source):
        parts = path.split("/")
        if path in order["scripts"]:
            # By a name that no module can have.
            self.found[path.replace(".", "/")] = (path, source, False)
        # gunicorn.conf.py is no module of any name.
        if path.endswith(".py") and "." in parts[-1][:-3]:
            return
        self.names.add(parts[0].partition(".")[0])
        if not path.endswith((".py", ".so")):
            return
        parts[-1] = parts[-1].partition(".")[0]
        package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if package else parts)
        if path.endswith(".py") or module not in self.found:
            self.found[module] = (path, source, package)

    def imports(self, module):
        """Path of the module, and what it imports."""
        path, source, package = self.found[module]
        if not path.endswith(".py"):
            return path, [], False
        try:
            if self.tar:
                text = self.tar.extractfile(source).read()
            else:
                with open(source, "rb") as file:
                    text = file.read()
            parts = module.split(".")
            imports = list(imported(ast.parse(text, path), parts if package else parts[:-1]))
        # What is nested too deeply is a MemoryError to the parser.
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return path, [], False
        return path, imports, b"sys.path" in text


modules = Modules()
outside, searches, seen = {}, False, set()
certain = collections.deque((script.replace(".", "/"), False, 0) for script in order["scripts"])
certain.extend((start, False, index) for index, start in enumerate(order["starts"]))
possible = collections.deque()
while certain or possible:
    # First what happens at the start: what is found in both ways is certain.
    name, late, start = (certain or possible).popleft()
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if module in seen or module not in modules.found:
            continue
        seen.add(module)
        path, imports, changes = modules.imports(module)
        searches = searches or changes
        for wanted, line, later in imports:
            if wanted.partition(".")[0] in modules.names:
                (possible if late or later else certain).append((wanted, late or later, start))
            else:
                entry = {"module": wanted, "file": path, "line": line, "later": late or later, "start": start}
                if wanted not in outside or outside[wanted]["later"] and not entry["later"]:
                    outside[wanted] = entry
json.dump({"imports": list(outside.values()), "searches": searches}, sys.stdout)
