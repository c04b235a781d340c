"""`http`: a URL answers as it should, over a fresh connection.

Proves that name, network, TLS (for https), server and answer work from the worker's region, and shows the certificate. Cannot
prove that a page works in a browser: no script runs, no second resource is fetched.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from apps.net.errors import BadHostError, NetError
from apps.net.guard import canonical_host, sendable
from apps.net.http import Request, Response
from apps.net.resolver import Family
from apps.probes import judge
from apps.probes.certificates import describe
from apps.probes.contract import IP_VERSION, Facts, Kind, OptionError, OptionField, Outcome, RawOptions, Scene, stored_fields
from apps.probes.reasons import Reason

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STATUS = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)  # RFC 9110, 5.6.2
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FOR_EVERYBODY = frozenset({"accept", "accept-language", "user-agent", "cache-control", "pragma"})
_CHARSET = re.compile(r"charset=\"?([\w-]{1,40})", re.ASCII | re.IGNORECASE)
_EXCERPT_BYTES = 2_048


@dataclass(frozen=True)
class Options:
    url: str
    host: str
    method: str
    headers: dict[str, str]
    body: str
    accepted_statuses: tuple[str, ...]
    keyword: str
    max_redirects: int
    verify_tls: bool
    ip_version: Family
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("url", "host", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Raises OptionError naming `target` or the option."""
    host = _host_of(target)
    fields = RawOptions(raw)
    method = fields.choice("method", "GET", METHODS)
    body = fields.text("body", limit=100_000)
    if body and method in ("GET", "HEAD"):
        raise OptionError("options.body", f"a {method} request has no body")
    keyword = fields.text("keyword", limit=1_000)
    if keyword and method == "HEAD":
        raise OptionError("options.keyword", "a HEAD request has no body to look in")
    redirects = fields.whole("max_redirects", 5, least=0, most=20)
    options = Options(
        url=target,
        host=host,
        method=method,
        headers=_headers(fields.take("headers", {})),
        body=body,
        accepted_statuses=_statuses(fields.take("accepted_statuses", ["200-299"])),
        keyword=keyword,
        max_redirects=redirects or 0,
        verify_tls=fields.flag("verify_tls", True),
        ip_version=fields.family(),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    fields.end()
    return options


async def run(options: Options, deadline: float, scene: Scene) -> Outcome:
    started = asyncio.get_running_loop().time()
    request = Request(
        url=options.url,
        method=options.method,
        headers=tuple(options.headers.items()),
        body=options.body.encode() if options.body else None,
        verify_tls=options.verify_tls,
        family=options.ip_version,
    )
    if options.keyword:
        request = replace(request, keep_bytes=request.max_bytes)
    hops: list[Facts] = []
    seen = {(request.method, request.url)}
    while True:
        response = await scene.network.http.exchange(request, deadline)
        if response.error is not None:
            return _failed(response, response.error, hops)
        location = response.header("location") if response.status in _REDIRECTS else None
        if location is None or options.max_redirects == 0:
            latency_ms = (asyncio.get_running_loop().time() - started) * 1000
            return _judged(options, response, hops, latency_ms)
        hops.append({"url": response.url, "status": response.status, "address": response.address})
        if len(hops) > options.max_redirects:
            message = f"[redirects] ({len(hops)}) <= {options.max_redirects}"
            return Outcome.because(Reason.REDIRECT_TOO_MANY, message, _facts(response, hops))
        try:
            request = _redirected(request, response.status, location)
        except (OptionError, ValueError) as error:
            return Outcome.because(Reason.REDIRECT_BLOCKED, f"redirected to {location!r}: {error}", _facts(response, hops))
        if (request.method, request.url) in seen:
            return Outcome.because(Reason.REDIRECT_LOOP, f"redirected to {request.url} again", _facts(response, hops))
        seen.add((request.method, request.url))


def _host_of(target: str) -> str:
    """The canonical host of an http(s) URL. Raises OptionError on `target`."""
    if len(target) > 2_000 or not target.isprintable() or " " in target:
        raise OptionError("target", "must be a URL of at most 2,000 characters without spaces")
    try:
        url = urlsplit(target)
        port = url.port
    except ValueError as error:
        raise OptionError("target", f"is not a valid URL: {error}") from error
    if url.scheme not in ("http", "https"):
        raise OptionError("target", "must be a URL that begins with http:// or https://")
    if url.username is not None or url.password is not None:
        raise OptionError("target", "must not hold a user name or password: send them in a header")
    if not url.hostname or port == 0:
        raise OptionError("target", "must name a host" if port != 0 else "must not have port 0")
    try:
        return canonical_host(url.hostname)
    except BadHostError as error:
        raise OptionError("target", str(error)) from error


def _headers(raw: Any) -> dict[str, str]:
    if not isinstance(raw, dict) or len(raw) > 50:
        raise OptionError("options.headers", "must be an object of at most 50 names and values")
    for name, value in raw.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise OptionError("options.headers", f"{name!r} is not a header name")
        if not isinstance(value, str) or len(value) > 4_000 or not value.isprintable() or not value.isascii():
            raise OptionError("options.headers", f"the value of {name} must be printable ASCII of at most 4,000 characters")
    return dict(raw)


def _statuses(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, (list, tuple)) or not 1 <= len(raw) <= 20:
        raise OptionError("options.accepted_statuses", "must be a list of 1 to 20 codes or ranges like 200-299")
    texts = tuple(str(item) for item in raw)
    for text in texts:
        found = _STATUS.fullmatch(text)
        if not found or (found[2] and int(found[2]) < int(found[1])):
            raise OptionError("options.accepted_statuses", f"{text!r} is not a status code or a range like 200-299")
    return texts


def _redirected(request: Request, status: int, location: str) -> Request:
    url = sendable(urljoin(request.url, location))
    _host_of(url)
    before, after = urlsplit(request.url), urlsplit(url)
    rewritten = status == 303 or (status in (301, 302) and request.method == "POST")  # RFC 9110, 15.4
    keeps = not rewritten or request.method in ("GET", "HEAD")
    onward = replace(request, url=url, method=request.method if keeps else "GET", body=request.body if keeps else None)
    if (before.scheme, before.netloc) == (after.scheme, after.netloc):
        return onward
    if onward.body is not None:
        raise OptionError("target", "a request's body is not sent on to another origin")
    return replace(onward, headers=tuple((name, value) for name, value in request.headers if name.lower() in _FOR_EVERYBODY))


def _failed(response: Response, error: NetError, hops: list[Facts]) -> Outcome:
    facts = _facts(response, hops)
    if hops and error.code == "blocked_address":
        return Outcome.because(Reason.REDIRECT_BLOCKED, error.message, facts)
    return Outcome.failed(error, facts)


def _judged(options: Options, response: Response, hops: list[Facts], latency_ms: float) -> Outcome:
    facts = _facts(response, hops)
    with_credentials = any(name.lower() in _CREDENTIALS for name in options.headers)
    text = _decoded(response)
    outcome = judge.first(
        judge.status(response.status, options.accepted_statuses, with_credentials=with_credentials, facts=facts),
        judge.keyword(text, options.keyword, len(response.body), facts),
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )
    if outcome.reason in (Reason.HTTP_STATUS, Reason.BODY_MISMATCH, Reason.AUTH_FAILED, Reason.RATE_LIMITED):
        facts["body"] = response.body[:_EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "�")
    return outcome


def _decoded(response: Response) -> str:
    """The body in the character set that the answer names, else UTF-8."""
    named = _CHARSET.search(response.header("content-type") or "")
    try:
        return response.body.decode(named[1] if named else "utf-8", "replace")
    except LookupError:
        return response.body.decode("utf-8", "replace")


def _facts(response: Response, hops: list[Facts]) -> Facts:
    facts: Facts = {"phases_ms": {name: round(value, 2) for name, value in response.phases_ms.items()}}
    seen = {
        "address": response.address,
        "status": response.status,
        "http_version": response.http_version,
        "size": response.size,
        "is_capped": response.is_capped,
        "redirects": hops,
        "certificate": describe(response.certificates),
    }
    return facts | {name: value for name, value in seen.items() if value}


def propose(typed: str) -> str | None:
    """`example.org` is `https://example.org/`; a port other than a web server's is not ours."""
    scheme, separator, rest = typed.partition("://")
    if separator and scheme.lower() not in ("http", "https"):
        return None
    url = f"{scheme.lower()}://{rest}" if separator else f"https://{typed}"
    try:
        parts = urlsplit(url)
        port = parts.port
        canonical_host(parts.hostname or "")
    except (ValueError, BadHostError):
        return None
    if not separator and port is not None and not parts.path.strip("/"):
        if port not in (80, 443, 3000, 5000, 8000, 8080, 8443, 9000):
            return None
        url = f"{'https' if port in (443, 8443) else 'http'}://{typed}"
    return url if urlsplit(url).path else f"{url}/"


FIELDS = (
    OptionField("method", "Method", "choice", choices=tuple((name, name) for name in METHODS)),
    OptionField("accepted_statuses", "Accepted statuses", "list", "Codes and ranges by comma, like 200-299, 404."),
    OptionField(
        "keyword", "Must contain", "text", "A text that the body must hold, in exactly this case. Empty: the body is not read."
    ),
    OptionField(
        "headers", "Request headers", "headers", "One to a line, like Authorization: Bearer … Values are kept encrypted."
    ),
    OptionField("body", "Request body", "long", "Sent as it stands. Kept encrypted."),
    OptionField("max_redirects", "Redirects followed", "whole", "0 judges the redirect itself."),
    OptionField("verify_tls", "Verify the certificate", "flag"),
    IP_VERSION,
)

KIND = Kind(
    name="http",
    title="HTTP",
    parse=parse,
    run=run,
    asks="URL",
    proves="The URL answers with an accepted status over a fresh connection: name, network, TLS and server work.",
    propose=propose,
    option_fields=FIELDS,
    secret_options=("headers", "body"),
)
