#!/usr/bin/env python3
"""A server for tests that speaks replication protocol v2 (generations over HTTP), and enough of Hrana to be written to.

    generations.py --dir FOLDER --port PORT

It keeps a real SQLite database in WAL mode, which is checkpointed at the end of a generation only: so generation N
began with the database file, and its frames are those of the WAL file, byte by byte as SQLite wrote them. Those of
earlier generations are kept beside it. Killed and started again it goes on with what is on the disk.

    GET  /info, /export/G, /sync/G/FROM/TO      as c/src/repl/v2.c has them
    POST /sync/G/FROM/TO[/BATON]                frames of a client, pushed
    POST /v3/pipeline, /v2/pipeline             Hrana, in JSON
    POST /control                               {"do": ..., ...}: see class Control

Only the standard library of Python 3.9 or later.
"""

import argparse
import base64
import hashlib
import json
import os
import random
import shutil
import socket
import sqlite3
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

PAGE = 4096
HEADER = 24
FRAME = HEADER + PAGE


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


# ---- The database ----


class Store:
    """The database, its WAL as frames, and its generations. Guarded by `lock`, but for what Hrana's streams do."""

    def __init__(self, folder):
        self.folder = folder
        self.path = os.path.join(folder, "data")
        self.lock = threading.RLock()
        os.makedirs(folder, exist_ok=True)
        self.main = None
        self.begun = {}  # frames that were pushed and end no transaction, by baton
        self.tickets = random.randrange(1000000)
        self.install()
        self.open()

    def name(self, suffix):
        return os.path.join(self.folder, suffix)

    def connect(self):
        conn = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5)
        conn.execute("PRAGMA wal_autocheckpoint=0")
        conn.execute("PRAGMA foreign_keys=on")
        return conn

    def open(self):
        self.generation = int(read(self.name("generation")) or b"1")
        self.oldest = int(read(self.name("oldest")) or b"1")
        salts, count = (read(self.name("skip")) or b"- 0").decode().split()
        self.skip = (b"" if salts == "-" else bytes.fromhex(salts), int(count))
        self.main = self.connect()
        self.main.execute("PRAGMA journal_mode=WAL")
        # Whoever closes last would checkpoint: this one stays open, and the end is a kill.
        self.main.execute("SELECT count(*) FROM sqlite_schema").fetchall()

    def note(self, name, number):
        with open(self.name(name + ".new"), "w") as file:
            file.write(str(number))
        os.replace(self.name(name + ".new"), self.name(name))

    def wal(self):
        """The generation's frames: those of the WAL, up to the last that ends a transaction. Where no writer has begun
        the WAL anew since the checkpoint, the first ones are the generation's before."""
        salts, frames = self.whole_wal()
        return frames[self.skip[1] * FRAME :] if salts == self.skip[0] else frames

    def whole_wal(self):
        """By the WAL's index: what stands behind its last transaction, or instead of it, may be half written."""
        while True:
            salts, last = self.wal_index()
            data = read(self.path + "-wal")
            if self.wal_index()[0] == salts:
                return salts, data[32 : 32 + last * FRAME]

    def wal_index(self):
        """The WAL's salts, and how many of its frames are whole transactions (https://sqlite.org/walformat.html, 2.1)."""
        while True:
            with open(self.path + "-shm", "rb") as file:
                head = file.read(96)
            if head[:48] == head[48:]:
                return head[32:40], struct.unpack_from("=I", head, 16)[0]

    def frames(self, generation):
        if generation == self.generation:
            return self.wal()
        return read(self.name("frames-%d" % generation))

    def export(self, generation):
        return read(self.path if generation == self.generation else self.name("file-%d" % generation))

    def has(self, generation):
        return self.oldest <= generation <= self.generation

    def checkpoint(self):
        """Ends the generation. Nobody writes meanwhile."""
        self.main.execute("BEGIN IMMEDIATE")
        shutil.copyfile(self.path, self.name("file-%d" % self.generation))
        with open(self.name("frames-%d" % self.generation), "wb") as file:
            file.write(self.wal())
        helper = self.connect()
        for _ in range(1000):
            _, frames, done = helper.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if frames == done:
                break
            time.sleep(0.01)
        else:
            raise RuntimeError("somebody reads for ever")
        helper.close()
        salts, frames = self.whole_wal()
        self.set_skip(salts, len(frames) // FRAME)
        self.generation += 1
        self.note("generation", self.generation)
        self.main.execute("ROLLBACK")

    def set_skip(self, salts, count):
        self.skip = (salts, count)
        self.note("skip", "%s %d" % (salts.hex() or "-", count))

    def forget(self, oldest):
        self.oldest = oldest
        self.note("oldest", oldest)

    # What a copy of its folder holds, and going back to it.

    def save(self, to):
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(self.folder, to, ignore=shutil.ignore_patterns("*-shm"))

    def go_back(self, to):
        self.main.close()
        for name in os.listdir(self.folder):
            os.remove(self.name(name))
        for name in os.listdir(to):
            shutil.copyfile(os.path.join(to, name), self.name(name))
        self.open()

    def push(self, generation, first, body, baton):
        """Frames of a client: (status, the last frame there is, a baton). What ends no transaction is kept for whoever
        comes with the baton, and nobody sees it before its end has come."""
        mine = self.wal()
        count = len(mine) // FRAME
        began, kept = self.begun.pop(baton, (first, b""))
        if began + len(kept) // FRAME != first:
            began, kept = first, b""
        frames = kept + body
        if generation != self.generation:
            return "conflict", count, None
        if began > count + 1:
            return "push_needed", count, None
        for i in range(min(len(frames) // FRAME, count + 1 - began)):
            at = (began - 1 + i) * FRAME
            if content(mine[at : at + FRAME]) != content(frames[i * FRAME : (i + 1) * FRAME]):
                return "conflict", count, None
        frames = frames[max(count + 1 - began, 0) * FRAME :]
        whole = len(whole_transactions(frames))
        if whole:
            self.append(mine, frames[:whole])
            count += whole // FRAME
        if whole == len(frames):
            return "ok", count, None
        self.tickets += 1
        baton = "%d/of?one %%2F" % self.tickets
        self.begun = {baton: (count + 1, frames[whole:])}
        return "ok", count + (len(frames) - whole) // FRAME, baton

    def append(self, mine, frames):
        """Puts frames behind those of the WAL, with its salts and sums; SQLite then recovers them. Killed in between, it
        is done at the next start."""
        data = read(self.path + "-wal")
        head = data[:32] if len(data) >= 32 else wal_header()
        if mine and data[32 : 32 + len(mine)] == mine:
            wal = data[: 32 + len(mine)] + chain(head, frames, mine[-FRAME:][16:24])
        else:
            wal = head + chain(head, mine + frames, head[24:32])
        with open(self.name("pushed-wal"), "wb") as file:
            file.write(wal)
        shutil.copyfile(self.path, self.name("pushed-new"))
        os.replace(self.name("pushed-new"), self.name("pushed"))
        self.main.close()
        self.install()
        self.open()

    def install(self):
        """What append() has made ready takes its place."""
        if not os.path.exists(self.name("pushed")):
            return
        if os.path.exists(self.name("pushed-wal")):
            os.replace(self.name("pushed-wal"), self.path + "-wal")
        if os.path.exists(self.path + "-shm"):
            os.remove(self.path + "-shm")
        self.set_skip(b"", 0)
        os.replace(self.name("pushed"), self.path)


def content(frame):
    """What counts of a frame: the rest of its header is of the WAL that it was in."""
    return frame[:8] + frame[HEADER:]


def whole_transactions(frames):
    last = 0
    for at in range(0, len(frames), FRAME):
        if frames[at + 4 : at + 8] != b"\0\0\0\0":
            last = at + FRAME
    return frames[:last]


def sums(data, order, s0=0, s1=0):
    words = struct.unpack("%s%dI" % (order, len(data) // 4), data)
    for i in range(0, len(words), 2):
        s0 = (s0 + words[i] + s1) & 0xFFFFFFFF
        s1 = (s1 + words[i + 1] + s0) & 0xFFFFFFFF
    return s0, s1


def wal_header():
    head = struct.pack(">8I", 0x377F0682, 3007000, PAGE, 0, 1, 2, 0, 0)[:24]
    return head + struct.pack(">2I", *sums(head, "<"))


def chain(head, frames, before):
    """Frames with salts and sums as in a WAL of that head, behind what has the sum `before`."""
    order = ">" if head[3] & 1 else "<"
    s0, s1 = struct.unpack(">2I", before)
    out = []
    for i in range(len(frames) // FRAME):
        frame = frames[i * FRAME : (i + 1) * FRAME]
        s0, s1 = sums(frame[:8], order, s0, s1)
        s0, s1 = sums(frame[HEADER:], order, s0, s1)
        out.append(frame[:8] + head[16:24] + struct.pack(">2I", s0, s1) + frame[HEADER:])
    return b"".join(out)


# ---- Hrana ----


def value_in(value):
    kind = value["type"]
    if kind == "null":
        return None
    if kind == "integer":
        return int(value["value"])
    if kind == "blob":
        text = value["base64"]
        return base64.b64decode(text + "=" * (-len(text) % 4))
    return value["value"]


def value_out(value):
    if value is None:
        return {"type": "null"}
    if isinstance(value, int):
        return {"type": "integer", "value": str(value)}
    if isinstance(value, float):
        return {"type": "float", "value": value}
    if isinstance(value, bytes):
        return {"type": "blob", "base64": base64.b64encode(value).decode()}
    return {"type": "text", "value": value}


class Stream:
    IDLE_S = 10
    TRANSACTION_S = 2

    def __init__(self, conn):
        self.conn = conn
        self.texts = {}
        self.used = time.monotonic()

    def is_over(self):
        """Nobody has come for so long."""
        most = self.TRANSACTION_S if self.conn.in_transaction else self.IDLE_S
        return time.monotonic() - self.used > most

    def sql_of(self, stmt):
        return stmt["sql"] if stmt.get("sql") is not None else self.texts[stmt["sql_id"]]

    def run(self, stmt):
        args = [value_in(value) for value in stmt.get("args") or []]
        named = {a["name"].lstrip(":@$"): value_in(a["value"]) for a in stmt.get("named_args") or []}
        cursor = self.conn.execute(self.sql_of(stmt), named or args)
        rows = cursor.fetchall()
        return {
            "cols": [{"name": c[0], "decltype": None} for c in cursor.description or []],
            "rows": [[value_out(value) for value in row] for row in rows],
            "affected_row_count": max(cursor.rowcount, 0),
            "last_insert_rowid": str(cursor.lastrowid or 0),
            # Of a log that nobody who follows by generations sees.
            "replication_index": "1",
            "rows_read": 0,
            "rows_written": 0,
            "query_duration_ms": 0.1,
        }

    def holds(self, cond, results, errors):
        kind = cond["type"] if cond else "always"
        if kind == "ok":
            return results[cond["step"]] is not None
        if kind == "error":
            return errors[cond["step"]] is not None
        if kind == "not":
            return not self.holds(cond["cond"], results, errors)
        if kind in ("and", "or"):
            all_of = [self.holds(c, results, errors) for c in cond["conds"]]
            return all(all_of) if kind == "and" else any(all_of)
        if kind == "is_autocommit":
            return not self.conn.in_transaction
        return True

    def batch(self, steps):
        results, errors = [None] * len(steps), [None] * len(steps)
        for i, step in enumerate(steps):
            if not self.holds(step.get("condition"), results, errors):
                continue
            try:
                results[i] = self.run(step["stmt"])
            except sqlite3.Error as error:
                errors[i] = told(error)
        return {"step_results": results, "step_errors": errors, "replication_index": "1"}

    def describe(self, sql):
        cursor = self.conn.execute("EXPLAIN " + sql)
        cursor.fetchall()
        return {"params": [], "cols": [], "is_explain": False, "is_readonly": False}

    def answer(self, request):
        kind = request["type"]
        if kind == "execute":
            return {"type": kind, "result": self.run(request["stmt"])}
        if kind == "batch":
            return {"type": kind, "result": self.batch(request["batch"]["steps"])}
        if kind == "sequence":
            self.conn.executescript(self.sql_of(request))
        elif kind == "describe":
            return {"type": kind, "result": self.describe(self.sql_of(request))}
        elif kind == "store_sql":
            self.texts[request["sql_id"]] = request["sql"]
        elif kind == "close_sql":
            self.texts.pop(request["sql_id"], None)
        elif kind == "get_autocommit":
            return {"type": kind, "is_autocommit": not self.conn.in_transaction}
        return {"type": kind}


def told(error):
    return {"message": "SQLite error: %s" % error, "code": getattr(error, "sqlite_errorname", "SQLITE_ERROR")}


# ---- HTTP ----


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port, folder):
        super().__init__(("127.0.0.1", port), Handler)
        self.store = Store(folder)
        self.streams = {}
        self.faults = {}
        self.counts = {}
        self.at_work = 0  # requests of Hrana that run
        self.gate = threading.RLock()  # held by who pushes: nobody else writes meanwhile
        threading.Thread(target=self.reap, daemon=True).start()

    def reap(self):
        """Whose client is gone must not keep the others from writing."""
        while True:
            time.sleep(0.5)
            for baton, stream in list(self.streams.items()):
                if stream.is_over() and self.streams.pop(baton, None):
                    stream.conn.close()

    def settle(self):
        """Waits until nothing runs, of clients that are gone either."""
        quiet = 0
        while quiet < 10:
            time.sleep(0.01)
            busy = self.at_work or any(s.conn.in_transaction for s in list(self.streams.values()))
            quiet = 0 if busy else quiet + 1

    def alone(self):
        """With the gate: nobody of Hrana's has the database open."""
        while self.at_work or any(s.conn.in_transaction for s in list(self.streams.values())):
            time.sleep(0.005)
        for baton in list(self.streams):
            self.streams.pop(baton).conn.close()

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, BrokenPipeError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    @property
    def store(self):
        return self.server.store

    def fault(self, name):
        return self.server.faults.get(name)

    def answer(self, status, body, kind="application/json", headers=()):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        most = self.fault("cut") if self.path.startswith(("/sync", "/export", "/info", "/moved")) else None
        if most and len(body) > (cut := random.randrange(most)):
            self.wfile.write(body[:cut])
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()
            raise ConnectionResetError
        self.wfile.write(body)
        self.wfile.flush()

    def json(self, status, value):
        self.answer(status, json.dumps(value).encode())

    def count(self, what):
        self.server.counts[what] = self.server.counts.get(what, 0) + 1

    def allowed(self):
        token = self.fault("token")
        return not token or self.headers.get("Authorization") == "Bearer " + token

    def prepare(self, what):
        """False: it is answered already."""
        self.count(what)
        if self.fault("delay"):
            time.sleep(self.fault("delay") / 1000)
        if not self.allowed():
            self.json(401, {"error": "Unauthorized"})
        elif self.fault("key") and self.headers.get("x-turso-encryption-key") != self.fault("key"):
            self.json(400, {"error": "wrong encryption key"})
        elif self.fault("status"):
            status = self.fault("status")
            time.sleep((self.fault("hold") or 0) / 1000)
            self.json(status, {"error": "as the test wants it"})
        elif self.fault("redirect") and not self.path.startswith("/moved"):
            self.answer(307, b"", headers=[("Location", "/moved" + self.path)])
        else:
            return True
        return False

    def number(self, value):
        """As the type of a field changes."""
        return {"text": str(value), "real": float(value), None: value}[self.fault("number")]

    def do_GET(self):
        path = self.path
        if path.startswith("/moved"):
            path = path[len("/moved") :]
        parts = path.strip("/").split("/")
        if parts[0] in ("health", "v2", "v3"):
            return self.answer(200, b"", "text/plain")
        if parts[0] not in ("info", "export", "sync") or not self.prepare(parts[0]):
            return None if parts[0] in ("info", "export", "sync") else self.answer(404, b"")
        if parts[0] == "info" and self.fault("no_info"):
            return self.answer(404, b"")
        with self.store.lock:
            status, body, kind = getattr(self, parts[0])(*parts[1:])
        if parts[0] == "export" and status == 200:
            return self.part(body, kind)
        return self.answer(status, body, kind)

    def part(self, body, kind):
        """All of it, or from the byte that is asked for."""
        lie = self.fault("parts")
        etag = '"%s"' % hashlib.sha1(body).hexdigest()
        headers = [("ETag", "W/" + etag if lie == "weak" else etag), ("Accept-Ranges", "bytes")]
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if lie == "none":
            headers = []
        if first > 0:
            self.count("parts")
        if first == 0 or lie in ("none", "whole"):
            return self.answer(200, body, kind, headers)
        if lie == "400":
            return self.json(400, {"error": "as the test wants it"})
        if first >= len(body) or lie == "416":
            return self.answer(416, b"", kind, headers)
        if lie == "elsewhere":
            first -= PAGE
        range_ = "bytes %d-%d/%d" % (first, len(body) - 1, len(body))
        return self.answer(206, body[first:], kind, headers + [("Content-Range", range_)])

    def as_json(self, status, value):
        return status, json.dumps(value).encode(), "application/json"

    def info(self):
        if self.fault("info"):
            return 200, self.fault("info").encode(), "application/json"
        return self.as_json(200, {"current_generation": self.number(self.store.generation)})

    def export(self, generation):
        if not self.store.has(int(generation)):
            return self.as_json(404, {"error": "no such generation"})
        data = self.store.export(int(generation))
        lie = self.fault("export")
        if lie == "busy":
            return self.as_json(503, {"error": "as the test wants it"})
        if lie == "empty":
            data = b""
        elif lie == "short":
            data = data[:-PAGE]
        elif lie == "part":
            data = data[:-100]
        elif lie == "pages":
            data = data[:16] + b"\x20\x00" + data[18:]
        elif lie == "damage":
            data = data[: PAGE + 50] + b"\xff" * (PAGE - 50) + data[2 * PAGE :]
        elif lie == "html":
            data = b"<html>" * 2000
        return 200, data, "application/octet-stream"

    def sync(self, generation, first, end):
        generation, first, end = int(generation), int(first), int(end)
        store = self.store
        if self.fault("claims"):
            return self.as_json(400, {"generation": self.fault("claims")})
        if generation < store.oldest:
            return self.as_json(404, {"error": "that generation is gone"})
        frames = store.frames(generation) if store.has(generation) else b""
        if self.fault("most") and first > self.fault("most"):
            return self.as_json(500, {"error": "as the test wants it"})
        data = frames[(first - 1) * FRAME : (end - 1) * FRAME]
        if not data:
            status = 400 if frames else 500
            return self.as_json(status, {"generation": self.number(store.generation)})
        lie = self.fault("frames")
        if lie == "short":
            data = data[:-100]
        elif lie == "more":
            data = data + bytes(FRAME) * 200
        elif lie == "wide":
            data = b"".join(
                data[i : i + FRAME] + bytes(PAGE) for i in range(0, len(data), FRAME)
            )
        elif lie == "zero":
            data = data[:-FRAME] + bytes(FRAME)
        elif lie == "none":
            data = b""
        return 200, data, "application/octet-stream"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/control":
            request = json.loads(body)
            if request["do"] == "settle":
                self.server.settle()
            with self.store.lock:
                return self.json(200, Control(self.server).answer(request))
        if self.path in ("/v2/pipeline", "/v3/pipeline"):
            self.count("pipeline")
            return self.pipeline(json.loads(body))
        if not self.path.removeprefix("/moved").startswith("/sync/"):
            return self.answer(404, b"")
        return self.push(body) if self.prepare("push") else None

    def happens(self, name):
        """A fault that is true, or a chance of so much in 1."""
        chance = self.fault(name)
        return bool(chance) and (chance is True or random.random() < chance)

    def lose(self):
        self.close_connection = True
        self.connection.close()
        raise ConnectionResetError

    def push(self, body):
        # Not parts of an unescaped path: a baton is what the server makes it.
        parts = self.path.removeprefix("/moved").strip("/").split("/")
        generation, first, end = (int(part) for part in parts[1:4])
        baton = unquote(parts[4]) if len(parts) > 4 else None
        if self.happens("push_refused"):
            return self.json(self.fault("push_status") or 503, {"error": "as the test wants it"})
        if self.happens("push_unheard"):
            return self.lose()
        if len(body) != (end - first) * FRAME or not body:
            return self.json(400, {"error": "so many frames are not there"})
        if self.happens("push_conflict"):
            answer = {"status": "conflict", "generation": generation, "max_frame_no": first - 1}
            return self.json(200, answer)
        if self.happens("push_part"):
            body = body[: random.randrange(1, len(body) // FRAME + 1) * FRAME]
        with self.server.gate, self.store.lock:
            self.server.alone()
            status, last, baton = self.store.push(generation, first, body, baton)
            generation = self.store.generation
        if self.happens("push_last"):
            self.server.faults = {"status": 500}
            return self.lose()
        if self.happens("push_lost"):
            return self.lose()
        if self.fault("push_says"):
            return self.answer(200, self.fault("push_says").encode())
        answer = {"status": status, "generation": self.number(generation), "max_frame_no": last}
        return self.json(200, answer | ({"baton": baton} if baton else {}))

    def pipeline(self, request):
        baton = request.get("baton")
        if not self.allowed():
            return self.json(401, {"error": "Unauthorized"})
        with self.server.gate:
            self.server.at_work += 1
        try:
            return self.run_all(request, baton)
        finally:
            self.server.at_work -= 1

    def run_all(self, request, baton):
        stream = self.server.streams.pop(baton, None) if baton else Stream(self.store.connect())
        if stream is None:
            return self.answer(400, b"Received an invalid baton", "text/plain")
        results, closed = [], False
        for one in request["requests"]:
            try:
                results.append({"type": "ok", "response": stream.answer(one)})
            except sqlite3.Error as error:
                results.append({"type": "error", "error": told(error)})
            closed = closed or one["type"] == "close"
        baton = None
        if closed:
            stream.conn.close()
        else:
            stream.used = time.monotonic()
            baton = base64.b64encode(os.urandom(12)).decode()
            self.server.streams[baton] = stream
        return self.json(200, {"baton": baton, "base_url": None, "results": results})


class Control:
    """What tests ask for: {"do": "faults", "faults": {...}} replaces all faults (see Handler); "sql", with "sql";
    "settle": wait until nothing is written; "checkpoint"; "forget": generations before the current one; "save", "go_back"; "counts": of requests since it was
    last asked."""

    def __init__(self, server):
        self.server = server
        self.store = server.store

    def answer(self, request):
        getattr(self, "do_" + request["do"])(request)
        frames = len(self.store.wal()) // FRAME
        return {"generation": self.store.generation, "frames": frames, "counts": self.last}

    last = None

    def do_faults(self, request):
        self.server.faults = request["faults"]

    def do_sql(self, request):
        self.store.main.execute(request["sql"]).fetchall()

    def do_settle(self, _):
        pass

    def do_checkpoint(self, _):
        self.store.checkpoint()

    def do_forget(self, _):
        self.store.forget(self.store.generation)

    def do_save(self, _):
        self.store.save(self.store.folder + "-saved")

    def do_go_back(self, _):
        for stream in self.server.streams.values():
            stream.conn.close()
        self.server.streams.clear()
        self.store.go_back(self.store.folder + "-saved")

    def do_counts(self, _):
        self.last = dict(self.server.counts)
        self.server.counts.clear()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dir", required=True)
    parser.add_argument("--port", type=int, required=True)
    args = parser.parse_args()
    server = Server(args.port, args.dir)
    print("listening on %d" % server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
