"""Compiles Python sources to byte code, somewhere else than where they are.

Reads JSON from standard input: {"mode": "unchecked-hash", "files": [[source, byte code, name in the image], ...]}. A file
that does not compile is left out: packages ship templates and code for other versions, which nothing ever imports.
"""

import json
import os
import py_compile
import sys
import warnings

warnings.simplefilter("ignore")
order = json.load(sys.stdin)
mode = py_compile.PycInvalidationMode[order["mode"].replace("-", "_").upper()]


def work(files):
    for source, target, name in files:
        try:
            py_compile.compile(source, cfile=target, dfile=name, doraise=True, invalidation_mode=mode)
        except (py_compile.PyCompileError, SyntaxError, ValueError, RecursionError):
            pass
        except OSError as error:
            os.write(2, ("%s\n" % error).encode())
            return 1
    return 0


processes = min(len(os.sched_getaffinity(0)), 8, len(order["files"]) // 8 + 1)
children = []
for number in range(1, processes):
    child = os.fork()
    if child == 0:
        os._exit(work(order["files"][number::processes]))
    children.append(child)
failed = work(order["files"][0::processes])
for child in children:
    failed |= os.waitpid(child, 0)[1]
sys.exit(1 if failed else 0)
