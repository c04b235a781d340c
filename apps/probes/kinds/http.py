"""`http`: a URL answers as it should, over a fresh connection.

Proves that name, network, TLS (for https), server and answer work from the worker's region, and shows the certificate. Cannot
prove that a page works in a browser: no script runs, no second resource is fetched.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit

from apps.net.errors import BadHostError, NetError
from apps.net.guard import canonical_host, sendable
from apps.net.http import Request, Response
from apps.net.resolver import Family
from apps.net.stream import Trust
from apps.probes import conditions, judge
from apps.probes.certificates import describe
from apps.probes.conditions import Condition
from apps.probes.contract import IP_VERSION, Facts, Kind, OptionError, OptionField, Outcome, RawOptions, Scene, stored_fields
from apps.probes.reasons import Reason
from apps.probes.targets import url_host
from apps.probes.trust import TRUST_FIELDS, TrustOptions

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_STATUS = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)  # RFC 9110, 5.6.2
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_FOR_EVERYBODY = frozenset({"accept", "accept-language", "user-agent", "cache-control", "pragma"})
_CHARSET = re.compile(r"charset=\"?([\w-]{1,40})", re.ASCII | re.IGNORECASE)
_EXCERPT_BYTES = 2_048
_BODY_TYPES = {"raw": "", "json": "application/json", "form": "application/x-www-form-urlencoded"}
_AUTHS = {"none": "None", "basic": "Basic", "digest": "Digest", "bearer": "Bearer token"}
_SHOWN_WITH_BODY = frozenset(
    {"http_status", "body_mismatch", "body_forbidden", "auth_failed", "rate_limited", "assertion_failed", "content_type"}
)
ASSERTED = (
    "status", "latency", "dns", "connect", "tls", "first_byte", "transfer", "body", "size", "header.", "json.",
    "certificate.days", "certificate.issuer", "url", "address", "http_version",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    url: str
    host: str
    method: str
    headers: dict[str, str]
    body: str
    body_type: str
    auth: str
    username: str
    password: str
    token: str
    accepted_statuses: tuple[str, ...]
    keyword: str
    forbidden: str
    assertions: tuple[str, ...]
    max_body_bytes: int
    max_redirects: int
    same_host: bool
    allow_downgrade: bool
    http_version: str
    tls: TrustOptions
    ip_version: Family
    down_ms: int | None
    upside_down: bool
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("url", "host", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Raises OptionError naming `target` or the option."""
    host = url_host(target)
    fields = RawOptions(raw)
    method = fields.choice("method", "GET", METHODS)
    body = fields.text("body", limit=100_000)
    if body and method in ("GET", "HEAD"):
        raise OptionError("options.body", f"a {method} request has no body")
    options = Options(
        url=target,
        host=host,
        method=method,
        headers=_headers(fields.take("headers", {})),
        body=body,
        body_type=fields.choice("body_type", "raw", tuple(_BODY_TYPES)),
        auth=fields.choice("auth", "none", tuple(_AUTHS)),
        username=fields.text("username", limit=1_000),
        password=fields.text("password", limit=4_000),
        token=fields.text("token", limit=8_000),
        accepted_statuses=_statuses(fields.take("accepted_statuses", ["200-299"])),
        keyword=fields.text("keyword", limit=1_000),
        forbidden=fields.text("forbidden", limit=1_000),
        assertions=conditions.read(fields, ASSERTED),
        max_body_bytes=fields.whole("max_body_bytes", 5_000_000, least=1_000, most=20_000_000) or 0,
        max_redirects=fields.whole("max_redirects", 5, least=0, most=20) or 0,
        same_host=fields.flag("same_host", False),
        allow_downgrade=fields.flag("allow_downgrade", False),
        http_version=fields.choice("http_version", "auto", ("auto", "1.1", "2")),
        tls=TrustOptions.read(fields),
        ip_version=fields.family(),
        down_ms=fields.whole("down_ms", None, least=1, most=600_000),
        upside_down=fields.flag("upside_down", False),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    _ensure_whole(options)
    fields.end()
    return options


def _ensure_whole(options: Options) -> None:
    """What one option says of another."""
    for name in ("keyword", "forbidden"):
        if getattr(options, name) and options.method == "HEAD":
            raise OptionError(f"options.{name}", "a HEAD request has no body to look in")
    if options.body_type == "json" and options.body and conditions.parsed_json(options.body) is conditions.NOT_JSON:
        raise OptionError("options.body", "is not JSON")
    for name in ("username", "password"):
        if options.auth in ("basic", "digest") and not getattr(options, name):
            raise OptionError(f"options.{name}", f"is missing for {options.auth} authentication")
    if options.auth == "bearer" and not (options.token.isascii() and options.token.isprintable() and options.token):
        raise OptionError("options.token", "must be printable ASCII")


async def run(options: Options, deadline: float, scene: Scene) -> Outcome:
    outcome = await _looked(options, deadline, scene)
    return judge.upside_down(outcome) if options.upside_down else outcome


async def _looked(options: Options, deadline: float, scene: Scene) -> Outcome:
    started = asyncio.get_running_loop().time()
    request = _request(options)
    hops: list[Facts] = []
    seen = {(request.method, request.url)}
    while True:
        response = await scene.network.http.exchange(request, deadline)
        if response.error is not None:
            return _failed(response, response.error, hops)
        location = response.header("location") if response.status in _REDIRECTS else None
        if location is None or options.max_redirects == 0:
            latency_ms = (asyncio.get_running_loop().time() - started) * 1000
            return _judged(options, response, hops, latency_ms, scene)
        hops.append({"url": response.url, "status": response.status, "address": response.address})
        if len(hops) > options.max_redirects:
            message = f"[redirects] ({len(hops)}) <= {options.max_redirects}"
            return Outcome.because(Reason.REDIRECT_TOO_MANY, message, _facts(response, hops))
        try:
            request = _redirected(request, response.status, location)
        except (OptionError, ValueError) as error:
            return Outcome.because(Reason.REDIRECT_BLOCKED, f"redirected to {location!r}: {error}", _facts(response, hops))
        astray = _astray(options, response.url, request.url)
        if astray is not None:
            return Outcome.because(*astray, _facts(response, hops))
        if (request.method, request.url) in seen:
            return Outcome.because(Reason.REDIRECT_LOOP, f"redirected to {request.url} again", _facts(response, hops))
        seen.add((request.method, request.url))


def _request(options: Options) -> Request:
    headers = dict(options.headers)
    names = {name.lower() for name in headers}
    if options.auth == "bearer" and "authorization" not in names:
        headers["Authorization"] = f"Bearer {options.token}"
    if options.body and (kind := _BODY_TYPES[options.body_type]) and "content-type" not in names:
        headers["Content-Type"] = kind
    looks_inside = (
        options.keyword
        or options.forbidden
        or any(c.fact.startswith(("body", "json")) for c in conditions.of(options.assertions))
    )
    request = Request(
        url=options.url,
        method=options.method,
        headers=tuple(headers.items()),
        body=options.body.encode() if options.body else None,
        login=(options.auth, options.username, options.password) if options.auth in ("basic", "digest") else None,
        verify_tls=options.tls.verify_tls,
        trust=Trust(options.tls.ca, options.tls.client_certificate, options.tls.client_key),
        http_version=options.http_version,
        family=options.ip_version,
        max_bytes=options.max_body_bytes,
    )
    return replace(request, keep_bytes=request.max_bytes) if looks_inside else request


def _astray(options: Options, before: str, after: str) -> tuple[Reason, str] | None:
    """Why a redirect is not followed."""
    old, new = urlsplit(before), urlsplit(after)
    if old.scheme == "https" and new.scheme == "http" and not options.allow_downgrade:
        return Reason.REDIRECT_DOWNGRADE, f"redirected from https to {after}"
    if options.same_host and (new.hostname or "") != options.host:
        return Reason.REDIRECT_OTHER_HOST, f"[redirect.host] ({new.hostname}) == {options.host}"
    return None


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
    url_host(url)
    before, after = urlsplit(request.url), urlsplit(url)
    rewritten = status == 303 or (status in (301, 302) and request.method == "POST")  # RFC 9110, 15.4
    keeps = not rewritten or request.method in ("GET", "HEAD")
    onward = replace(request, url=url, method=request.method if keeps else "GET", body=request.body if keeps else None)
    if (before.scheme, before.netloc) == (after.scheme, after.netloc):
        return onward
    if onward.body is not None:
        raise OptionError("target", "a request's body is not sent on to another origin")
    onward = replace(onward, login=None)
    return replace(onward, headers=tuple((name, value) for name, value in request.headers if name.lower() in _FOR_EVERYBODY))


def _failed(response: Response, error: NetError, hops: list[Facts]) -> Outcome:
    facts = _facts(response, hops)
    if hops and error.code == "blocked_address":
        return Outcome.because(Reason.REDIRECT_BLOCKED, error.message, facts)
    return Outcome.failed(error, facts)


def _judged(options: Options, response: Response, hops: list[Facts], latency_ms: float, scene: Scene) -> Outcome:
    facts = _facts(response, hops)
    if response.is_capped:
        message = f"[size] ({response.size:,} bytes and more) <= {options.max_body_bytes:,} bytes"
        return Outcome.because(Reason.BODY_TOO_LARGE, message, facts)
    text = _decoded(response)
    with_credentials = options.auth != "none" or any(name.lower() in _CREDENTIALS for name in options.headers)
    outcome = judge.first(
        judge.status(response.status, options.accepted_statuses, with_credentials=with_credentials, facts=facts),
        judge.keyword(text, options.keyword, len(response.body), facts),
        judge.forbidden(text, options.forbidden, len(response.body), facts),
        *_failed_conditions(options, response, text, latency_ms, facts, scene),
        judge.too_slow(latency_ms, options.down_ms, facts),
        _version(options, response, facts),
        _ends_soon(options, facts, scene),
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )
    if outcome.reason in _SHOWN_WITH_BODY:
        facts["body"] = response.body[:_EXCERPT_BYTES].decode("utf-8", "replace").replace("\x00", "�")
    return outcome


def _failed_conditions(
    options: Options, response: Response, text: str, latency_ms: float, facts: Facts, scene: Scene
) -> Iterator[Outcome]:
    if not options.assertions:
        return
    asked = conditions.of(options.assertions)
    document = conditions.parsed_json(text) if any(c.fact.startswith("json.") for c in asked) else None
    values = judge.asserted(facts, latency_ms, scene.now_ms) | {
        **response.phases_ms, "status": response.status, "body": text, "size": response.size, "url": response.url,
    }  # fmt: skip

    def seen(condition: Condition) -> Any:
        head, _, rest = condition.fact.partition(".")
        if head == "header":
            return response.header(rest)
        return conditions.json_fact(document, rest) if head == "json" else values.get(condition.fact)

    yield from judge.failed_of(options.assertions, seen, facts)


def _version(options: Options, response: Response, facts: Facts) -> Outcome | None:
    if options.http_version != "2" or response.http_version == "2":
        return None
    return Outcome.because(Reason.ASSERTION_FAILED, f"[http_version] ({response.http_version}) == 2", facts)


def _ends_soon(options: Options, facts: Facts, scene: Scene) -> Outcome | None:
    ends = options.tls.expiry(facts.get("certificate"), scene.now_ms)
    return ends and ends.seeing(facts)


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
    OptionField("keyword", "Must contain", "text", "A text that the body must hold, in exactly this case."),
    OptionField("forbidden", "Must not contain", "text", "A text that must not be there, like Fatal error."),
    conditions.asked(ASSERTED, "[json.$.status] == ok, [header.content-type] contains json or [body] matches PATTERN"),
    OptionField("headers", "Request headers", "headers", "One to a line, like Accept: text/html. Values are kept encrypted."),
    OptionField("body", "Request body", "long", "Kept encrypted."),
    OptionField("body_type", "Body is", "choice", choices=(("raw", "Sent as it stands"), ("json", "JSON"), ("form", "A form"))),
    OptionField("auth", "Authentication", "choice", choices=tuple(_AUTHS.items())),
    OptionField("username", "User name", "text"),
    OptionField("password", "Password", "text", "Kept encrypted."),
    OptionField("token", "Bearer token", "text", "Kept encrypted."),
    OptionField("down_ms", "Down above (ms)", "whole", "Slower than this is down."),
    OptionField("max_redirects", "Redirects followed", "whole", "0 judges the redirect itself."),
    OptionField("same_host", "Redirects stay on the host", "flag"),
    OptionField("allow_downgrade", "Redirects may lead from https to http", "flag"),
    OptionField("http_version", "HTTP version", "choice", choices=(("auto", "Negotiated"), ("1.1", "1.1"), ("2", "2 or down"))),
    OptionField("max_body_bytes", "Largest body (bytes)", "whole", "More, unpacked, is down."),
    *TRUST_FIELDS,
    OptionField("upside_down", "Upside down: an answer is down, none is up", "flag"),
    IP_VERSION,
)  # fmt: skip

KIND = Kind(
    name="http",
    title="HTTP",
    parse=parse,
    run=run,
    asks="URL",
    proves="The URL answers with an accepted status over a fresh connection: name, network, TLS and server work.",
    propose=propose,
    option_fields=FIELDS,
    secret_options=("headers", "body", "password", "token", "client_key"),
)
