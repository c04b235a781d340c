"""What the product talks to: an HTTP target whose paths can be taken down, and a webhook receiver."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"") -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 512


class Target:
    """An HTTP server that answers GET with 200, or with 500 for a path in `down`."""

    def __init__(self, port: int = 0) -> None:
        self.down: set[str] = set()
        target = self

        class Handler(_Quiet):
            def do_GET(self) -> None:
                self.answer(500 if self.path in target.down else 200, b"hello")

        self._server = _Server(("127.0.0.1", port), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Receiver:
    """A webhook receiver: keeps messages with a valid signature in `got` with their arrival (epoch seconds)."""

    SECRET = "a secret of the receiver's"

    def __init__(self) -> None:
        self.got: list[tuple[float, dict[str, Any]]] = []
        self.forged = 0
        receiver = self

        class Handler(_Quiet):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stamp, _, mac = self.headers["X-GoUpTime-Signature"].partition(",v1=")
                expected = hmac.new(receiver.SECRET.encode(), stamp[2:].encode() + b"." + body, hashlib.sha256)
                if hmac.compare_digest(expected.hexdigest(), mac):
                    receiver.got.append((time.time(), json.loads(body)))
                else:
                    receiver.forged += 1
                self.answer(200)

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def events(self, check: str) -> list[str]:
        return [message["event"] for _, message in self.got if message["check"] and message["check"]["id"] == check]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
