"""A client of HTTP/2 for the tests: client.py CHECK PORT [CA]. It prints what it saw, or fails."""

import hashlib
import socket
import ssl
import sys
import threading
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

# This h2 takes a GOAWAY for the end, and fails on what follows; but the streams that there are go on (RFC 9113 section 6.8).
STATE, INPUT = h2.connection.ConnectionState, h2.connection.ConnectionInputs
TRANSITIONS = h2.connection.H2ConnectionStateMachine._transitions
TRANSITIONS[STATE.CLIENT_OPEN, INPUT.RECV_GOAWAY] = (None, STATE.CLIENT_OPEN)


def connect(port, ca=None, alpn=("h2",)):
    connection = socket.create_connection(("127.0.0.1", port), 30)
    # Frames are written one by one, and one does not wait for what is said to the one before.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if ca:
        context = ssl.create_default_context(cafile=ca)
        context.set_alpn_protocols(list(alpn))
        connection = context.wrap_socket(connection, server_hostname="localhost")
    return connection


class Client:
    def __init__(self, port, ca=None):
        self.socket = connect(port, ca)
        config = h2.config.H2Configuration(header_encoding="latin-1", validate_outbound_headers=False,
                                           normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.answers, self.reset, self.goaway, self.last, self.settings, self.ended = {}, {}, False, 0, {}, set()
        # Heads that precede those of answers, and whether what comes is taken at once, which lets more come.
        self.hints, self.takes = [], True
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, path, method="GET", fields=(), end=True, scheme="http", authority="test"):
        stream = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":path", path), (":scheme", scheme), (":authority", authority)]
        self.h2.send_headers(stream, pseudo + list(fields), end_stream=end)
        self.answers[stream] = [None, b""]
        self.flush()
        return stream

    def receive(self, size=65536):
        data = self.socket.recv(size)
        if not data:
            return False
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.answers[event.stream_id][0] = event.headers
            elif isinstance(event, h2.events.DataReceived):
                self.answers[event.stream_id][1] += event.data
                if self.takes:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.InformationalResponseReceived):
                self.hints.append(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[event.stream_id] = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway, self.last = True, event.last_stream_id
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})
        self.flush()
        return True

    def send(self, stream, body, end=True):
        while body:
            if stream in self.ended or stream in self.reset:
                return
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if size == 0:
                assert self.receive(), "closed while it sent"
                continue
            self.h2.send_data(stream, body[:size])
            body = body[size:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
            self.flush()

    def wait(self, stream):
        while stream not in self.ended and stream not in self.reset:
            assert self.receive(), "closed without an answer"
        fields, body = self.answers[stream]
        return dict(fields or []), body

    def get(self, path, method="GET", fields=(), body=None, **more):
        stream = self.begin(path, method, fields, end=body is None, **more)
        if body is not None:
            self.send(stream, body)
        fields, body = self.wait(stream)
        return fields.get(":status"), fields, body


def environ(port, ca):
    client = Client(port)
    for path, method, fields in [
        ("/environ/a%20b?x=%31&y", "GET", [("x-one", "1"), ("x-one", "2"), ("accept", "*/*")]),
        ("/environ", "POST", [("cookie", "a=1"), ("cookie", "b=2"), ("content-type", "text/plain")]),
        ("/environ", "GET", [("x_under", "no"), ("x-forwarded-proto", "https"), ("script_name", "/environ")]),
        ("/environ", "GET", [("version", "forged"), ("te", "trailers")]),
    ]:
        body = b"hello" if method == "POST" else None
        status, _, seen = client.get(path, method, fields, body)
        print(path, status, seen.decode())
    print(client.get("/environ", scheme="https")[2].decode())


def bodies(port, ca):
    client = Client(port, ca)
    content = bytes(range(251)) * 12_000
    status, _, body = client.get("/echo", "POST", body=content)
    assert (status, body) == ("200", hashlib.sha256(content).hexdigest().encode()), (status, body)
    for path in ["/big", "/pieces", "/file"]:
        status, fields, body = client.get(path)
        assert status == "200" and body == content, (path, status, len(body))
    for path, expected in [("/204", "204"), ("/304", "304")]:
        assert client.get(path)[::2] == (expected, b""), path
    status, fields, body = client.get("/big", "HEAD")
    assert (status, fields["content-length"], body) == ("200", str(len(content)), b""), fields
    assert fields["server"] == "rwsgi" and "date" in fields and "connection" not in fields, fields
    status, _, body = client.get("/raise")
    assert status == "500" and b"Internal Server Error" in body
    stream = client.begin("/broken")
    _, body = client.wait(stream)
    assert stream in client.reset and stream not in client.ended, "an answer that broke off looks whole"
    assert client.get("/204")[0] == "204", "the connection goes on"


def many(port, ca):
    client = Client(port)
    streams = [client.begin(f"/sleep?{number}") for number in range(50)]
    for number, stream in enumerate(streams):
        fields, body = client.wait(stream)
        assert (fields[":status"], body) == ("200", str(number).encode())


def limits(port, ca):
    def status(*args, **more):
        return Client(port).get(*args, **more)[0]

    assert status("/echo", "POST", body=b"x" * 1001) == "413"
    assert status("/echo", "POST", [("content-length", "1001")], body=b"x" * 1001) == "413"
    assert status("/echo", "POST", body=b"x" * 1000) == "200"
    assert status("/" + "a" * 5000) == "414"
    assert status("/", fields=[(f"x-{number}", "1") for number in range(101)]) == "431"
    assert status("/", fields=[("x", "1" * 9000)]) == "431"
    assert status("/", fields=[("expect", "more")]) == "417"
    assert status("/", fields=[("host", "a"), ("host", "b")]) == "400"
    assert status("/", fields=[("x_under", "1")]) == "400"
    # RFC 9113 section 8.2.1.
    for value in [" a", "a ", "\ta", "a\t", " "]:
        for name in ["x-padded", "cookie"]:
            assert status("/", fields=[(name, value)]) == "400", (name, value)
    assert status("/", fields=[("x-empty", ""), ("x-within", "a b")]) == "200"
    # What belongs to a connection of HTTP/1 is not a field here (RFC 9113 section 8.2.2).
    for name, value in [("connection", "close"), ("transfer-encoding", "chunked"), ("X-Upper", "1")]:
        client = Client(port)
        stream = client.begin("/", fields=[(name, value)])
        try:
            client.wait(stream)
        except (AssertionError, OSError):
            # The whole connection may end for it.
            pass
        assert client.answers[stream][0] is None, name


def faults(port, ca):
    """What an app does, and what clients may not: it costs a stream, and no more."""
    client = Client(port)
    for path in ["/exit", "/interrupt"]:
        assert client.get(path)[0] == "500", path
    status, fields, body = client.get("/hints")
    assert (status, body) == ("200", b"hinted"), (status, body)
    assert client.hints == [[(":status", "103"), ("link", "</a.css>; rel=preload")]], client.hints
    contradiction = [("x-forwarded-proto", "https"), ("x-forwarded-ssl", "off")]
    assert client.get("/environ", fields=contradiction)[0] == "400"
    # Shorter and longer than its content-length (RFC 9113 section 8.1.1).
    for length in ["10", "2"]:
        client = Client(port)
        stream = client.begin("/echo", "POST", [("content-length", length)], end=False)
        client.h2.send_data(stream, b"abcde", end_stream=True)
        client.flush()
        try:
            client.wait(stream)
        except (AssertionError, OSError):
            pass
        answered = dict(client.answers[stream][0] or [])
        assert stream in client.reset or client.goaway or answered.get(":status") == "400", (length, answered)
    assert Client(port).get("/204")[0] == "204"


def trailers(port, ca):
    """They are held to the rules of HTTP/1's."""
    def status(fields):
        client = Client(port)
        stream = client.begin("/echo", "POST", end=False)
        client.h2.send_data(stream, b"abc")
        client.h2.send_headers(stream, fields, end_stream=True)
        client.flush()
        return dict(client.wait(stream)[0]).get(":status")

    assert status([("x-checksum", "1")]) == "200"
    for fields, expected in [
        ([("content-length", "3")], "400"),
        ([("host", "a")], "400"),
        ([("x-padded", "a ")], "400"),
        ([(f"x-{number}", "1") for number in range(300)], "431"),
    ]:
        seen = status(fields)
        assert seen == expected, (fields[0], seen)
    for authority, host, expected in [("a", "a", "200"), ("a", "b", "400"), ("user@a", None, "400")]:
        seen, _, _ = Client(port).get("/echo", fields=[("host", host)] if host else [], authority=authority)
        assert seen == expected, (authority, host, seen)


def casefold(port, ca):
    """The method that the app sees is what the answer is for."""
    client = Client(port)
    status, fields, body = client.get("/big", "head")
    assert (status, fields.get("content-length"), body) == ("200", str(251 * 12_000), b""), fields
    assert client.get("/204")[0] == "204"


def left(port, ca):
    """Streams that their client gives up before the answer begins, which would never end: no thread is lost."""
    # It serves already.
    Client(port).get("/ok")
    for _ in range(4):
        client = Client(port)
        stream = client.begin("/late")
        time.sleep(0.06)
        client.h2.reset_stream(stream, error_code=8)
        client.flush()
        time.sleep(0.1)
    status, _, body = Client(port).get("/ok")
    assert (status, body) == ("200", b"ok"), (status, body)


def deadline(port, ca):
    client = Client(port)
    other = client.begin("/echo", "POST", end=False)
    assert client.get("/stuck")[0] == "503"
    stream = client.begin("/stuck-in-the-middle")
    fields, body = client.wait(stream)
    assert (fields[":status"], body) == ("200", b"begun") and stream in client.reset, (fields, body)
    # The others of the connection go on.
    client.send(other, b"late")
    fields, body = client.wait(other)
    assert body == hashlib.sha256(b"late").hexdigest().encode()


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)
# GET http://a/ as HPACK has it.
HEAD = b"\x82\x86\x84\x41\x01a"


def rest(connection):
    """What comes until the end, even if that is a reset."""
    received = b""
    try:
        while data := connection.recv(65536):
            received += data
    except (ConnectionResetError, ssl.SSLError):
        pass
    return received


def window(client, size):
    """A client that lets so much of each stream's answer come from now on."""
    client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: size})
    client.flush()


def stalled(port, ca):
    """Streams that their client takes nothing of while it goes on asking for others: they end, their connection does not."""
    client = Client(port)
    window(client, 0)
    taken = [client.begin("/big"), client.begin("/pieces"), client.begin("/file")]
    end = time.monotonic() + 20
    while not all(stream in client.reset for stream in taken):
        assert time.monotonic() < end, client.reset
        # Answers without a body need no window.
        client.get("/204")
        time.sleep(0.1)
    assert all(client.answers[stream][0] for stream in taken), "their heads had come"
    assert Client(port).get("/204")[0] == "204", "no thread is left to another"
    window(client, 65535)
    assert client.get("/sleep?after")[2] == b"after"


def pump(client, seconds):
    """Takes what comes for so long."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        client.socket.settimeout(left)
        try:
            assert client.receive(), "closed"
        except TimeoutError:
            pass
    client.socket.settimeout(30)


def grant(client, size, *streams):
    """Lets so much more come: of these streams, or else of the connection."""
    for stream in streams or [None]:
        client.h2.increment_flow_control_window(size, stream)
    client.flush()


def slow(port, ca):
    """A client that takes little at a time is not one that takes nothing."""
    client = Client(port)
    client.takes = False
    window(client, 0)
    stream = client.begin("/big")
    for _ in range(20):
        grant(client, 100, stream)
        pump(client, 0.4)
    while stream not in client.reset and len(client.answers[stream][1]) < 2000:
        client.receive()
    assert stream not in client.reset, len(client.answers[stream][1])
    client.wait(stream)
    assert stream in client.reset, "and then it took nothing"


def gentle(port, ca):
    """A client that takes far less at a time than its system has to take before the server's takes more."""
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    window(client, 1 << 30)
    grant(client, 1 << 30)
    streams = [client.begin("/big") for _ in range(3)]
    for _ in range(30):
        assert client.receive(16_384), "closed"
        time.sleep(0.2)
    for stream in streams:
        assert len(client.wait(stream)[1]) == 251 * 12_000 and stream in client.ended, client.reset


def shared(port, ca):
    """Answers that wait for their turn, while one waits for its own window."""
    client = Client(port)
    client.takes = False
    window(client, 1)
    streams = [client.begin("/big") for _ in range(11)]
    grant(client, 1 << 20, *streams[1:])
    for _ in range(30):
        pump(client, 0.4)
        grant(client, 16_000)
    assert set(client.reset) == {streams[0]}, (streams, client.reset)
    assert min(len(client.answers[stream][1]) for stream in streams[1:]) > 16_000, "each has its turns"


def partly(port, ca):
    """An answer of which a client takes a hundred bytes, and no more."""
    client = Client(port)
    client.takes = False
    window(client, 0)
    stream = client.begin("/big?partly")
    grant(client, 100, stream)
    client.wait(stream)
    assert len(client.answers[stream][1]) == 100


def early(port, ca, path="/early", fields=(), size=10_000, status="200"):
    """An answer before the body has come tells the client to send no more of it (RFC 9113 section 8.1)."""
    client = Client(port)
    stream = client.begin(path, "POST", fields, end=False)
    client.send(stream, b"x" * size, end=False)
    assert client.wait(stream)[0][":status"] == status and stream in client.ended, path
    client.socket.settimeout(3)
    while stream not in client.reset:
        assert client.receive(), path
    assert client.reset[stream] == 0, client.reset
    client.socket.settimeout(30)
    assert client.get("/204")[0] == "204", "the connection goes on"


def refused(port, ca):
    early(port, ca, "/echo", [("content-length", "2000000")], status="413")
    early(port, ca, "/echo", size=1_000_001, status="413")


def unread(port, ca):
    """An app that does not read is answered for while its client still sends, and the rest is dropped."""
    client = Client(port)
    stream = client.begin("/unread", "POST", end=False)
    client.send(stream, b"x" * 1_000_000)
    assert client.wait(stream)[1] == b"not read" and stream in client.ended, client.reset


def cancelled(port, ca):
    """Requests that are cancelled as soon as the server has them, while no thread is free for them."""
    busy = Client(port, ca)
    for _ in range(8):
        busy.begin("/stuck")
    client, body = Client(port, ca), b"x" * 60_000
    try:
        for number in range(4000):
            stream = client.begin("/echo", "POST", end=False)
            client.send(stream, body)
            client.h2.ping(number.to_bytes(8, "big"))
            client.flush()
            client.receive()
            client.h2.reset_stream(stream, error_code=8)
            client.flush()
    except (OSError, AssertionError, h2.exceptions.StreamClosedError):
        # The server has reset the stream, and is about to end the connection.
        pass
    print(number)


def crowded(port, ca):
    """The same, of clients behind a proxy, whose connection goes on."""
    busy = Client(port)
    for _ in range(8):
        busy.begin("/stuck")
    client = Client(port)
    for number in range(400):
        stream = client.begin("/204")
        client.h2.ping(number.to_bytes(8, "big"))
        client.flush()
        client.receive()
        if stream not in client.ended:
            client.h2.reset_stream(stream, error_code=8)
        client.flush()
    for _ in range(3):
        assert client.get("/204")[0] == "503"
    assert not client.goaway


def expanding(port, ca):
    """Heads of a few bytes that are large once they are read, of requests that do not end."""
    clients = [Client(port) for _ in range(15)]
    for client in clients:
        for _ in range(90):
            client.begin("/echo", "POST", [("x-a", "a" * 3900)] * 15, end=False)
    # What was sent before has been taken in when this is answered.
    for client in clients:
        assert client.get("/")[0] == "200"


def trickle(port, ca):
    """An upload that goes on for longer than a silent one would be waited for."""
    client = Client(port)
    stream = client.begin("/echo", "POST", [("content-length", "50")], end=False)
    client.receive()
    print("begun", flush=True)
    for number in range(50):
        client.h2.send_data(stream, b"x", end_stream=number == 49)
        client.flush()
        time.sleep(0.1)
    fields, body = client.wait(stream)
    assert body == hashlib.sha256(b"x" * 50).hexdigest().encode(), fields


def gone(port, ca):
    """A client that does not wait for its answer."""
    client = Client(port)
    stream = client.begin("/wait?gone")
    client.receive()
    client.h2.reset_stream(stream, error_code=8)
    client.flush()
    client.get("/204")


def resets(number):
    stream = 2 * number + 1
    return frame(1, 5, stream, HEAD) + frame(3, 0, stream, (8).to_bytes(4, "big"))


def floods(port, ca):
    """Frames that cost their sender next to nothing: the connection ends, with the reason; others are served."""
    def continuations(number):
        return frame(1, 0, 1, HEAD) if number == 0 else frame(9, 0, 1, b"\x00\x01x\x01y" * 100)

    def empty_data(number):
        return frame(1, 4, 1, b"\x83" + HEAD[1:]) if number == 0 else frame(0, 0, 1)

    def pings(number):
        return frame(6, 0, 0, bytes(8))

    def all_settings(number):
        return frame(4, 0, 0)

    def windows(number):
        return frame(8, 0, 0, (1).to_bytes(4, "big"))

    def priorities(number):
        return frame(2, 0, 2 * number + 1, bytes(5))

    # A proxy may pass on that its clients have cancelled what they asked for.
    for flood in [resets] if ca else [continuations, empty_data, pings, all_settings, windows, priorities]:
        with connect(port, ca) as raw:
            raw.sendall(PREFACE)
            try:
                # Nothing that comes back is read meanwhile.
                for number in range(0, 1_000_000, 1000):
                    raw.sendall(b"".join(flood(number + more) for more in range(1000)))
            except OSError:
                pass
            # ENHANCE_YOUR_CALM, in the last frame.
            calm = (11).to_bytes(4, "big") in rest(raw)[-40:]
            print(flood.__name__, "ended" if number < 999_000 else "went on", "calm" if calm else "")
            status, _, body = Client(port, ca).get("/environ")
            assert status == "200", flood.__name__


def settings(port, ca):
    client = Client(port)
    client.get("/204")
    print(sorted(client.settings.items()))


def protocols(port, ca):
    for offered in [("h2",), ("http/1.1",), ("h2", "http/1.1"), ("http/1.1", "h2")]:
        with connect(port, ca, offered) as s:
            print(",".join(offered), s.selected_alpn_protocol())
    status, _, body = Client(port, ca).get("/environ", scheme="https")
    print(status, "'https'" in body.decode())


def idle(port, ca):
    client = Client(port)
    client.get("/204")
    while client.receive():
        pass
    assert client.goaway


def full(port, ca):
    """A client that goes on asking makes room for one that waits for its place."""
    client, answered = Client(port, ca), threading.Event()
    assert client.get("/204")[0] == "204"
    threading.Thread(target=lambda: (Client(port, ca).get("/204"), answered.set()), daemon=True).start()
    end = time.monotonic() + 30
    while not client.goaway:
        assert time.monotonic() < end, "it may stay"
        assert client.get("/204")[0] == "204"
        time.sleep(0.05)
    while client.receive():
        pass
    assert answered.wait(30)


def drip(raw, head, limit):
    """Sends the frame of a head byte by byte, until the server has had enough of it. Gives what came back."""
    raw.sendall(head[:9])
    raw.settimeout(0.2)
    received, end = b"", time.monotonic() + limit
    for byte in head[9:]:
        assert time.monotonic() < end, "it goes on"
        try:
            raw.sendall(bytes([byte]))
            if not (data := raw.recv(65536)):
                break
            received += data
        except TimeoutError:
            pass
        except OSError:
            received += rest(raw)
            break
    return received


def dripping(port, ca):
    """Heads that never end, a client's first and its next."""
    for before in [b"", frame(1, 5, 1, HEAD)]:
        with connect(port) as raw:
            raw.sendall(PREFACE + before)
            time.sleep(0.5)
            received = drip(raw, frame(1, 5, 3, bytes(3000)), 8)
            assert frame(7, 0, 0)[3:] in received, received


def drip_on(port, ca):
    """A head that has begun, and does not end, when the server stops."""
    Client(port).get("/204")
    with connect(port) as raw:
        raw.sendall(PREFACE)
        print("begun", flush=True)
        drip(raw, frame(1, 5, 1, bytes(3000)), 15)


def deaf(port, ca):
    """A client that never says that it knows that its connection ends."""
    begun = time.monotonic()
    with connect(port) as raw:
        raw.sendall(PREFACE + frame(1, 5, 1, HEAD))
        rest(raw)
    assert time.monotonic() - begun < 10, time.monotonic() - begun


def belated(port, ca):
    """Clients that take their answers late, when they have been told that their connection ends: they have them all."""
    # What the system takes off the server's hands, and what it does not.
    for count in [10, 100]:
        client = Client(port)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        window(client, 1 << 20)
        grant(client, 1 << 30)
        streams = [client.begin("/part") for _ in range(count)]
        time.sleep(6)
        for stream in streams:
            assert len(client.wait(stream)[1]) == 60_000 and stream in client.ended


def leaving(port, ca):
    """A client that still takes what the server has sent when that has nothing more to do, and says so all the time."""
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    window(client, 1 << 30)
    grant(client, 1 << 30)
    streams = [client.begin("/big") for _ in range(4)]
    client.receive()
    print("begun", flush=True)
    while len(client.ended) < len(streams):
        assert client.receive(), {stream: len(client.answers[stream][1]) for stream in streams}
        grant(client, 1)
        # What says that the server stops it takes at once, which lets the server finish; what comes then, it does not.
        time.sleep(0.005 if client.goaway else 0)
    assert all(len(client.answers[stream][1]) == 251 * 12_000 for stream in streams)


def talking(port, ca):
    """A client that goes on talking when the server has nothing more to do for it: the connection is not broken by that."""
    client = Client(port)
    client.get("/204")
    print("begun", flush=True)
    # The second GOAWAY, with the last stream that the server has seen.
    while client.last != 1:
        assert client.receive(), "closed"
    for _ in range(10):
        time.sleep(0.05)
        # A PING frame, which h2 does not make any more.
        client.socket.sendall(frame(6, 0, 0, b"8 bytes."))
    # The end, and no reset.
    while client.socket.recv(65536):
        pass


def pausing(port, ca):
    """A client that takes nothing of its answers for a while, when the server stops: it has them all."""
    client = Client(port)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    window(client, 1 << 30)
    grant(client, 1 << 30)
    streams = [client.begin("/part") for _ in range(100)]
    # The app has made them all.
    time.sleep(2)
    print("begun", flush=True)
    time.sleep(6)
    for stream in streams:
        assert len(client.wait(stream)[1]) == 60_000 and stream in client.ended


def held(port, ca):
    """A client that takes nothing of a large answer until it is told to."""
    client = Client(port)
    window(client, 0)
    stream = client.begin("/big")
    print("begun", flush=True)
    sys.stdin.readline()
    window(client, 1 << 30)
    grant(client, 1 << 30)
    assert len(client.wait(stream)[1]) == 251 * 12_000


def crowd(port, ca):
    """More uploads at a time than the app has threads: those that wait leave the others their part of the window."""
    client = Client(port)
    streams = [client.begin("/echo", "POST", end=False) for _ in range(30)]
    for stream in streams:
        client.send(stream, b"x" * 65_535, end=False)
    for stream in streams:
        client.send(stream, b"x" * 10_000)
    expected = hashlib.sha256(b"x" * 75_535).hexdigest().encode()
    assert all(client.wait(stream)[1] == expected for stream in streams)


def overdue(port, ca):
    """A body that does not go on, which the app waits for longer than it may take: its thread is free then."""
    client = Client(port)
    stream = client.begin("/echo", "POST", end=False)
    client.send(stream, b"x" * 60_000, end=False)
    assert client.wait(stream)[0][":status"] == "503"
    assert client.get("/204")[0] == "204"


def odd(port, ca):
    """Requests of one client that h2 refuses by itself, which come through a proxy: the others of the proxy go on."""
    client = Client(port)
    for _ in range(1100):
        client.wait(client.begin('/?q="'))
    assert client.get("/204")[0] == "204"
    # More that are cancelled at once than h2 lets be by itself, fewer than may wait for the app; and one that goes on.
    last = frame(1, 5, 1001, b"\x82\x86\x04\x05/last\x41\x01a")
    # A body byte by byte, and none of it is lost.
    head, byte = frame(1, 4, 1, b"\x83\x86\x04\x05/echo\x41\x01a"), frame(0, 0, 1, b"x")
    for sent, expected in [
        (b"".join(resets(number) for number in range(150)) + last, b"/last"),
        (head + byte * 10_000 + frame(0, 1, 1, b"x"), hashlib.sha256(b"x" * 10_001).hexdigest().encode()),
    ]:
        with connect(port) as raw:
            raw.sendall(PREFACE + sent)
            received = b""
            while expected not in received:
                data = raw.recv(65536)
                assert data, received
                received += data


def stop(port, ca):
    client = Client(port)
    streams = [client.begin(f"/sleep?{number}") for number in range(20)]
    # Once it has greeted, the server knows of the connection.
    client.receive()
    print("begun", flush=True)
    for number, stream in enumerate(streams):
        fields, body = client.wait(stream)
        assert (fields[":status"], body) == ("200", str(number).encode())
    while client.receive():
        pass
    assert client.goaway


def late(port, ca):
    """Connections that have come to different points when the server begins to stop."""
    # It serves already: what comes before that is lost when it stops.
    watch = Client(port, ca)
    watch.get("/204")
    whole = PREFACE + frame(1, 5, 1, HEAD)
    points = [0, 10, 24, len(PREFACE)]
    connections = [(point, connect(port, ca)) for point in points]
    silent = [(point, connect(port, ca)) for point in points]
    for point, connection in connections + silent:
        connection.sendall(whole[:point])
    print("begun", flush=True)
    while not watch.goaway:
        assert watch.receive(), "closed without a word"
    watch.socket.close()
    for point, connection in connections:
        connection.sendall(whole[point:])
    for point, connection in connections:
        assert b"PATH_INFO" in rest(connection), point
    for point, connection in silent:
        assert b"PATH_INFO" not in rest(connection), point


def busy(port, ca):
    """A client that says something all the time, and asks for nothing."""
    Client(port).get("/204")
    with connect(port) as raw:
        raw.sendall(PREFACE + frame(6, 0, 0, bytes(8)))
        print("begun", flush=True)
        try:
            while raw.recv(65536):
                raw.sendall(frame(6, 0, 0, bytes(8)) * 10)
                time.sleep(0.05)
        except OSError:
            pass


def load(port, ca):
    """Requests without a pause until standard input ends; a stream that a GOAWAY left out goes to the next connection."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    answered, connections, client = 0, 1, Client(port)
    while not (over.is_set() and answered > 100 and connections > 1):
        if client.goaway:
            client, connections = Client(port), connections + 1
        streams = [client.begin(f"/environ?{number}") for number in range(5)]
        for stream in streams:
            while stream not in client.ended and stream not in client.reset and client.receive():
                pass
            fields = dict(client.answers[stream][0] or [])
            if client.goaway and stream > client.last:
                continue
            assert stream in client.ended and fields[":status"] == "200", (stream, client.last, fields, client.reset)
            answered += 1
            if answered == 1:
                print("begun", flush=True)
    print("lost nothing")


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
