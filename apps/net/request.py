"""HTTP requests as values, and their translation into libcurl options.

The connection goes to a literal address; environment variables (proxies) are ignored, and no connection, TLS session or
cookie is kept between requests.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult

import pycurl

from apps.net.dns import Server
from apps.net.hosts import host_port, sendable
from apps.net.resolver import Family
from apps.net.stream import PUBLIC, Trust
from apps.net.unpack import ACCEPTED

USER_AGENT = "GoUpTime/1"


@dataclass(frozen=True)
class Proxy:
    """A proxy for requests; `host` is canonical."""

    scheme: Literal["http", "socks5"]
    host: str
    port: int
    username: str = ""
    password: str = ""


@dataclass(frozen=True)
class Request:
    """One HTTP request and how to send it."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    login: tuple[str, str, str] | None = None
    """(`basic` or `digest`, user name, password)."""
    http_version: str = "auto"
    """`1.1` disables HTTP/2; any other value negotiates it for https."""
    verify_tls: bool = True
    family: Family = "auto"
    keep_bytes: int = 65_536
    """Bytes of the decompressed body to keep; up to `max_bytes` are read."""
    max_bytes: int = 1 << 20
    trust: Trust = PUBLIC
    proxy: Proxy | None = None
    nameserver: Server | None = None
    """Resolves the host instead of this machine's name servers."""
    cookies: tuple[str, ...] = ()
    """Cookies set by previous hops, in libcurl's own format; libcurl applies RFC 6265."""


def _configure_route(curl: pycurl.Curl, request: Request, url: SplitResult, address: str, behind: str) -> None:
    """Set the literal address to connect to and the proxy, ignoring the environment's proxy variables."""
    proxy, target = request.proxy, address if request.proxy is None else behind
    if target:
        port = url.port or (443 if url.scheme == "https" else 80)
        curl.setopt(pycurl.CONNECT_TO, [f"::{host_port(target, port)}"])
    if proxy is None:
        curl.setopt(pycurl.PROXY, "")
        return
    scheme = "http" if proxy.scheme == "http" else "socks5" if behind else "socks5h"
    curl.setopt(pycurl.PROXY, f"{scheme}://{host_port(address, proxy.port)}")
    curl.setopt(pycurl.NOPROXY, "")
    if proxy.username:
        curl.setopt(pycurl.PROXYUSERNAME, proxy.username.encode())
        curl.setopt(pycurl.PROXYPASSWORD, proxy.password.encode())


def configure(curl: pycurl.Curl, request: Request, url: SplitResult, address: str, behind: str, ca_file: str) -> None:
    """Set all options for a request to `address`; `behind` is the target's address if `address` is that of a proxy."""
    put = curl.setopt
    put(pycurl.URL, sendable(request.url))
    _configure_route(curl, request, url, address, behind)
    put(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
    put(pycurl.NOSIGNAL, 1)
    put(pycurl.FRESH_CONNECT, 1)
    put(pycurl.FORBID_REUSE, 1)
    put(pycurl.SSL_SESSIONID_CACHE, 0)
    put(pycurl.COOKIEFILE, "")  # an empty name enables libcurl's cookie engine without a file
    for cookie in request.cookies:
        put(pycurl.COOKIELIST, cookie)
    put(pycurl.USERAGENT, USER_AGENT)
    if request.login is not None:
        way, username, password = request.login
        put(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST if way == "digest" else pycurl.HTTPAUTH_BASIC)
        put(pycurl.USERNAME, username.encode())
        put(pycurl.PASSWORD, password.encode())
    if request.method == "HEAD":
        put(pycurl.NOBODY, 1)
    elif request.body is not None:
        put(pycurl.POSTFIELDS, request.body)
        put(pycurl.CUSTOMREQUEST, request.method)
    elif request.method != "GET":
        put(pycurl.CUSTOMREQUEST, request.method)
    headers = [f"{name}: {value}" if value else f"{name};" for name, value in request.headers]
    names = {name.lower() for name, _ in request.headers}
    if "accept-encoding" not in names:
        headers.append(f"Accept-Encoding: {ACCEPTED}")
    if request.body is not None:
        headers += [line for name, line in _QUIET_POST if name not in names]
    put(pycurl.HTTPHEADER, headers)
    if url.scheme == "https":
        if request.trust.roots:
            put(pycurl.CAINFO_BLOB, request.trust.roots.encode())
        else:
            put(pycurl.CAINFO, os.fsencode(ca_file))  # the path may contain non-ASCII characters
        if request.trust.certificate:
            put(pycurl.SSLCERT_BLOB, request.trust.certificate.encode())
            put(pycurl.SSLKEY_BLOB, request.trust.key.encode())
        put(pycurl.SSL_VERIFYPEER, int(request.verify_tls))
        put(pycurl.SSL_VERIFYHOST, 2 if request.verify_tls else 0)
        newest = pycurl.CURL_HTTP_VERSION_1_1 if request.http_version == "1.1" else pycurl.CURL_HTTP_VERSION_2TLS
        put(pycurl.HTTP_VERSION, newest)
        put(pycurl.OPT_CERTINFO, 1)


# Headers without a value suppress those that libcurl adds: a form's content type, and "Expect: 100-continue" before
# larger bodies.
_QUIET_POST = (("content-type", "Content-Type:"), ("expect", "Expect:"))
