"""What `requests` makes of httpbin's answers: decoded, followed, streamed. Takes the base URL; fails by assertion."""

import hashlib
import sys

import requests

base = sys.argv[1]
session = requests.Session()
session.trust_env = False


def get(path, **options):
    return session.get(base + path, timeout=60, **options)


# Inspection of a request.
answer = get("/get", params={"a": ["1", "2"], "name": "caf\u00e9 &"}, headers={"X-Header": "value"})
assert answer.status_code == 200 and answer.json()["args"] == {"a": ["1", "2"], "name": "caf\u00e9 &"}
assert answer.json()["headers"]["X-Header"] == "value" and answer.json()["origin"] == "127.0.0.1"
for method in ("post", "put", "patch", "delete"):
    url = f"{base}/{method}"
    send = getattr(session, method)
    assert send(url, data={"a": "b c", "d": "\u00e9"}).json()["form"] == {"a": "b c", "d": "\u00e9"}, method
    assert send(url, json={"a": [1, None]}).json()["json"] == {"a": [1, None]}, method
    assert send(url, data=b"raw \x00 bytes").json()["data"] == "raw \u0000 bytes", method
    assert send(url, data=iter([b"in ", b"", b"chunks"])).json()["data"] == "in chunks", method
large = "0123456789" * 300_000
answer = session.post(base + "/post", files={"file": ("name.txt", large, "text/plain")}, data={"field": "1"})
assert answer.json()["files"]["file"] == large and answer.json()["form"] == {"field": "1"}
assert session.post(base + "/post", data=(large[:1000].encode() for _ in range(100))).json()["data"] == large[:1000] * 100
assert session.head(base + "/get").content == b"" and int(session.head(base + "/get").headers["Content-Length"]) > 0
assert "GET" in session.options(base + "/get").headers["Allow"]
assert session.request("TRACE", base + "/anything").json()["method"] == "TRACE"

# Encodings, which requests undoes.
assert get("/gzip").json()["gzipped"] and get("/gzip").headers["Content-Encoding"] == "gzip"
assert get("/deflate").json()["deflated"] and get("/brotli").headers["Content-Encoding"] == "br"
assert "\u2200x\u2208\u211d" in get("/encoding/utf8").content.decode()

# Redirects, cookies, authentication.
answer = get("/redirect/3")
assert answer.url == base + "/get" and [step.status_code for step in answer.history] == [302] * 3
assert get("/absolute-redirect/2").url == base + "/get"
assert get("/redirect-to", params={"url": "/status/204", "status_code": 307}).status_code == 204
assert get("/cookies/set", params={"a": "1", "b": "two"}).json()["cookies"] == {"a": "1", "b": "two"}
assert get("/cookies/delete", params={"a": ""}).json()["cookies"] == {"b": "two"}
assert get("/basic-auth/user/pass", auth=("user", "pass")).json() == {"authenticated": True, "user": "user"}
assert get("/basic-auth/user/pass", auth=("user", "wrong")).status_code == 401
digest = requests.auth.HTTPDigestAuth("user", "pass")
assert get("/digest-auth/auth/user/pass/MD5", auth=digest).json()["authenticated"]
assert get("/bearer", headers={"Authorization": "Bearer token"}).json()["token"] == "token"

# Statuses.
for status in (200, 201, 204, 206, 300, 304, 400, 402, 404, 406, 409, 418, 429, 500, 501, 503):
    for method in ("GET", "POST", "HEAD"):
        answer = session.request(method, f"{base}/status/{status}", allow_redirects=False)
        assert answer.status_code == status, (method, status, answer.status_code)

# Streams.
lines = list(get("/stream/50", stream=True).iter_lines())
assert len(lines) == 50 and b'"id": 49' in lines[-1]
assert len(get("/stream-bytes/100000", params={"seed": 1, "chunk_size": 777}).content) == 100_000
assert get("/drip", params={"numbytes": 7, "duration": 0.1, "delay": 0}).content == b"*" * 7
same = {hashlib.sha256(get("/bytes/65536", params={"seed": 7}).content).hexdigest() for _ in range(2)}
assert len(same) == 1
answer = get("/range/1000", headers={"Range": "bytes=10-19"})
assert (answer.status_code, answer.text, answer.headers["Content-Range"]) == (206, "klmnopqrst", "bytes 10-19/1000")
assert get("/range/10", headers={"Range": "bytes=50-"}).status_code == 416

# Types and caches.
for kind, magic in {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF", "svg": b"<"}.items():
    answer = get(f"/image/{kind}")
    assert answer.content.startswith(magic) and answer.headers["Content-Type"].startswith(f"image/{kind}"), kind
assert get("/xml").headers["Content-Type"] == "application/xml" and get("/json").json()["slideshow"]
assert "<h1>Herman Melville" in get("/html").text
assert get("/cache", headers={"If-None-Match": "x"}).status_code == 304
assert get("/etag/tag", headers={"If-None-Match": '"tag"'}).status_code == 304
assert get("/etag/tag", headers={"If-Match": '"other"'}).status_code == 412
assert get("/cache/60").headers["Cache-Control"] == "public, max-age=60"
answer = get("/response-headers", params={"X-One": "1", "X-Two": ["2", "3"]})
assert (answer.headers["X-One"], answer.headers["X-Two"]) == ("1", "2, 3")
