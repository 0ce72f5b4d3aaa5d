"""Prints gunicorn's own request corpus as JSON: the bytes, the options, and what they must come to.

Reads the `tests` folder of gunicorn's source distribution, with the helpers that gunicorn's own tests read it by.
"""

import json
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))

import treq  # noqa: E402
from gunicorn import config  # noqa: E402

# What gunicorn answers where it is not 400 (`Worker.handle_error`). One that only ends early gets no answer at all.
STATUSES = {
    "NoMoreData": None,
    "UnsupportedTransferCoding": 501,
    "LimitRequestLine": 414,
    "LimitRequestHeaders": 431,
    "ExpectationFailed": 417,
    "ForbiddenProxyRequest": 403,
}


def options(cfg):
    """The settings that differ from their defaults, as options of the command line."""
    default = config.Config()
    words = []
    for name, setting in sorted(cfg.settings.items()):
        value = setting.get()
        if name == "http_parser" or value == default.settings[name].get():
            continue
        words.append(setting.cli[-1])
        if value is not True:
            words.append(",".join(value) if isinstance(value, list) else str(value))
    return words


def view(expected):
    """What the app must see (PEP 3333), of what gunicorn's parser must give."""
    uri, body = expected["uri"], expected["body"]
    seen = {
        "REQUEST_METHOD": expected["method"],
        "RAW_URI": uri["raw"],
        "PATH_INFO": unquote_to_bytes(uri["path"]).decode("latin-1"),
        "QUERY_STRING": uri["query"],
        "SERVER_PROTOCOL": "HTTP/%d.%d" % expected["version"],
        # One that is empty is text in some of the files.
        "body": body if isinstance(body, str) else body.decode("latin-1"),
    }
    for name, value in expected["headers"]:
        key = name.replace("-", "_")
        if name not in ("CONTENT-TYPE", "CONTENT-LENGTH"):
            key = "HTTP_" + key
        seen[key] = seen[key] + "," + value if key in seen else value
    return seen


def cases():
    for path in sorted(folder.glob("requests/*/*.http")):
        module = treq.load_py(str(path.with_suffix(".py")))
        expected = module["request"]
        case = {"name": f"{path.parent.name}/{path.stem}", "options": options(module["cfg"])}
        if path.parent.name == "valid":
            data = treq.request(str(path), expected).data
            case["calls"] = [view(request) for request in (expected if isinstance(expected, list) else [expected])]
        else:
            data = treq.badrequest(str(path)).data
            case["calls"] = []
            case["status"] = STATUSES.get(expected.__name__, 400)
        case["bytes"] = data.hex()
        yield case


print(json.dumps(list(cases())))
