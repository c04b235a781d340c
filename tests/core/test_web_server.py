"""The web server, tested through its socket: slow clients, limits on bodies, malformed requests, shutdown."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from apps.core.web_server.bodies import Body, BodyTooLargeError, Memory, MemoryFullError
from apps.core.web_server.requests import Answer
from apps.core.web_server.server import Limits, Server, listen

SLOW_CLIENTS = 100


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    if environ["PATH_INFO"] == "/fault":
        raise RuntimeError("a fault of the application")
    body = environ["wsgi.input"].read()
    told = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {len(body)} [{environ['SCRIPT_NAME']}] "
    told += f"?{environ['QUERY_STRING'].encode('latin-1').decode()} " if environ["QUERY_STRING"] else ""
    told += ",".join(f"{name}={value}" for name, value in sorted(environ.items()) if name.startswith("HTTP_X"))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(told.encode()))), ("X-Name", "é")])
    return [told.encode()]


def handler(environ: dict[str, Any]) -> Answer | None:
    return Answer(200, [], b"by the handler") if environ["PATH_INFO"] == "/handler" else None


@pytest.fixture
def port() -> Iterator[int]:
    listening = listen("127.0.0.1", 0)
    server = Server(application, [handler], threads=2, limits=Limits(headers_s=2, body_s=1, stop_s=60))
    thread = threading.Thread(target=server.serve, args=(listening,), daemon=True)
    address = listening.getsockname()
    thread.start()
    yield address[1]
    server._stop.set()
    thread.join(10)
    assert not thread.is_alive()


def ask(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = client.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        client.close()


def raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request)
        parts = []
        while part := client.recv(65_536):
            parts.append(part)
        return b"".join(parts)


def test_slow_clients_cost_nobody_else_anything(port: int) -> None:
    """There are more slow clients than threads: half never finish their headers, half never their bodies."""
    held = []
    for number in range(SLOW_CLIENTS):
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        held.append(client)
    began = time.monotonic()
    for _ in range(20):
        assert ask(port, "GET", "/")[0] == 200
    assert time.monotonic() - began < 2
    assert held[0].recv(100).startswith(b"HTTP/1.1 408 ")  # the time limit for its body is over
    for client in held:
        client.close()


@pytest.mark.parametrize("chunked", [True, False])
def test_bodies_are_taken_with_and_without_an_announced_length(port: int, chunked: bool) -> None:
    body = iter([b"12", b"345"]) if chunked else b"12345"
    assert ask(port, "POST", "/a%20b", body)[2] == b"POST /a b 5 [] "


def test_a_body_that_is_too_large_is_refused_in_words(port: int) -> None:
    status, _, body = ask(port, "POST", "/api/v1/checks/", b"x" * 1_000_001)
    assert (status, b"payload_too_large" in body) == (413, True)
    assert ask(port, "POST", "/", b"x" * 1_000_000)[0] == 200


def test_nothing_of_a_forwarder_is_believed(port: int) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\nSCRIPT_NAME: /x\r\nX_Forwarded_For: 1.1.1.1\r\nX-Real: a\r\nX-Real: b\r\nConnection: close\r\n\r\n"
    assert raw(port, request).endswith(b"GET / 0 [] HTTP_X_REAL=a,b")


def test_a_head_has_no_body_and_a_door_is_asked_first(port: int) -> None:
    status, headers, body = ask(port, "HEAD", "/")
    assert (status, headers["x-name"], body) == (200, "%C3%A9", b"")
    assert ask(port, "GET", "/handler")[2] == b"by the handler"


def test_a_fault_of_the_application_is_a_500(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert ask(port, "GET", "/fault")[0] == 500
    assert ask(port, "GET", "/")[0] == 200
    assert "a fault of the application" in caplog.text


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"])
def test_nonsense_is_refused(port: int, nonsense: bytes) -> None:
    assert raw(port, nonsense).startswith(b"HTTP/1.1 400")


def test_a_body_that_is_cut_is_not_taken_for_whole(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
        client.shutdown(socket.SHUT_WR)
        assert not client.recv(1_000).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", ["/x?q=\u20ac", "/x?next=/\u0663&a=%E2%82%AC"])
def test_a_query_beyond_ascii_reaches_the_application_as_its_bytes(port: int, path: str) -> None:
    answer = raw(port, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200")
    assert f"?{path.partition('?')[2]}".encode() in answer


def test_large_bodies_share_a_memory_and_small_ones_are_always_taken() -> None:
    memory = Memory(left=50_000)
    large, small, further = Body(memory), Body(memory), Body(memory)
    for part in (b"a" * 40_000, b"b" * 20_000):
        large.add(part)
    assert (memory.left, large.size, len(large.content)) == (50_000 - (60_000 - 16_384), 60_000, 60_000)
    small.add(b"c" * 16_000)
    with pytest.raises(MemoryFullError):
        further.add(b"d" * 40_000)
    large.release()
    assert memory.left == 50_000
    further.add(b"d" * 40_000)


def test_a_body_that_is_too_large_holds_no_memory() -> None:
    memory = Memory()
    free = memory.left
    body = Body(memory)
    for _ in range(3):
        body.add(b"x" * 500_000)
    assert memory.left == free
    with pytest.raises(BodyTooLargeError):
        body.end()
