"""The same answers through `requests`: takes the base URL, prints status and digest of each. See support/httpbin.rs."""

import hashlib
import sys

import requests

base = sys.argv[1]
session = requests.Session()
session.trust_env = False
REQUESTS = [
    ("GET", "/gzip", {}),
    ("GET", "/deflate", {}),
    ("GET", "/brotli", {}),
    ("GET", "/redirect/3", {}),
    ("GET", "/encoding/utf8", {}),
    ("GET", "/stream/5", {}),
    ("GET", "/bytes/10000", {"params": {"seed": 3}}),
    ("GET", "/stream-bytes/100000", {"params": {"seed": 3, "chunk_size": 1000}}),
    ("GET", "/range/100000", {"headers": {"Range": "bytes=5000-59999"}}),
    ("GET", "/image/png", {}),
    ("GET", "/image/webp", {}),
    ("GET", "/html", {}),
    ("GET", "/cookies/set", {"params": {"a": "1"}}),
    ("GET", "/basic-auth/user/pass", {"auth": ("user", "pass")}),
    ("POST", "/post", {"data": {"a": "1", "b": "\u00e9"}}),
    ("POST", "/post", {"json": {"a": [1, None, "\u00e9"]}}),
    ("POST", "/post", {"data": b"x" * 200_000}),
    ("PUT", "/put", {"data": "put"}),
    ("PATCH", "/patch", {"data": "patch"}),
    ("DELETE", "/delete", {}),
    ("HEAD", "/get", {}),
    ("OPTIONS", "/get", {}),
]
for method, path, options in REQUESTS:
    answer = session.request(method, base + path, timeout=60, **options)
    host = base.split("//")[1].encode()
    content = answer.content.replace(host, b"ADDRESS")
    if b'"origin": "' in content:
        head, rest = content.split(b'"origin": "', 1)
        content = head + rest.split(b'"', 1)[1]
    digest = hashlib.sha256(content).hexdigest()
    print("==> requests", method, path, answer.status_code, len(content), digest)
