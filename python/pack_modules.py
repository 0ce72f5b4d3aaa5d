"""Packs modules into a zip that Python imports from.

Called with the zip to write. Reads JSON from standard input: [[name in the zip, file], ...].
"""

import json
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name, path in json.load(sys.stdin):
        # The same bytes whenever the modules are the same.
        entry = zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0))
        with open(path, "rb") as module:
            archive.writestr(entry, module.read(), zipfile.ZIP_DEFLATED, 9)
