"""The options of the kind `http`: parsing, validation and form fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

from apps.net.dns import Server
from apps.net.errors import BadHostError
from apps.net.hosts import canonical_host
from apps.net.request import Proxy, Request
from apps.net.resolver import Family
from apps.net.stream import Trust
from apps.probes import conditions, json_paths
from apps.probes.contract import IP_VERSION, OptionError, OptionField, RawOptions, grouped, stored_fields
from apps.probes.targets import endpoint, url_host
from apps.probes.trust import TRUST_FIELDS, TrustOptions

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_STATUS = re.compile(r"([1-9]\d\d)(?:-([1-9]\d\d))?", re.ASCII)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", re.ASCII)  # RFC 9110, 5.6.2
BODY_TYPES = {"raw": "", "json": "application/json", "form": "application/x-www-form-urlencoded"}
_AUTHS = {
    "none": "None", "basic": "Basic", "digest": "Digest", "bearer": "Bearer token", "oauth2": "OAuth 2 client credentials",
}  # fmt: skip


ASSERTABLE_FACTS = (
    "status", "latency", "dns", "connect", "tls", "first_byte", "transfer", "body", "size", "header.", "json.",
    "certificate.days", "certificate.issuer", "url", "address", "http_version",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """The parsed options of an HTTP check."""

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
    token_url: str
    scope: str
    proxy: str
    nameserver: str
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

    @cached_property
    def request(self) -> Request:
        """The first request of a run; cached, because it is the same for every run of a revision."""
        headers = dict(self.headers)
        names = {name.lower() for name in headers}
        if self.auth == "bearer" and "authorization" not in names:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.body and (kind := BODY_TYPES[self.body_type]) and "content-type" not in names:
            headers["Content-Type"] = kind
        looks_inside = (
            self.keyword
            or self.forbidden
            or any(c.fact.startswith(("body", "json")) for c in conditions.parse_lines(self.assertions))
        )
        request = Request(
            url=self.url,
            method=self.method,
            headers=tuple(headers.items()),
            body=self.body.encode() if self.body else None,
            login=(self.auth, self.username, self.password) if self.auth in ("basic", "digest") else None,
            verify_tls=self.tls.verify_tls,
            trust=Trust(self.tls.ca, self.tls.client_certificate, self.tls.client_key),
            proxy=proxy_of(self.proxy) if self.proxy else None,
            nameserver=nameserver_of(self.nameserver) if self.nameserver else None,
            http_version=self.http_version,
            family=self.ip_version,
            max_bytes=self.max_body_bytes,
        )
        return replace(request, keep_bytes=request.max_bytes) if looks_inside else request


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate. Raises OptionError with the field `target` or the name of the option."""
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
        body_type=fields.choice("body_type", "raw", tuple(BODY_TYPES)),
        auth=fields.choice("auth", "none", tuple(_AUTHS)),
        username=fields.text("username", limit=1_000),
        password=fields.text("password", limit=4_000),
        token=fields.text("token", limit=8_000),
        token_url=fields.text("token_url", limit=2_000),
        scope=fields.text("scope", limit=1_000),
        proxy=fields.text("proxy", limit=2_000),
        nameserver=fields.text("nameserver", limit=300),
        accepted_statuses=_statuses(fields.take("accepted_statuses", ["200-299"])),
        keyword=fields.text("keyword", limit=1_000),
        forbidden=fields.text("forbidden", limit=1_000),
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
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
    _validate_combinations(options)
    fields.end()
    return options


def _validate_combinations(options: Options) -> None:
    """Validate options that depend on each other. Raises OptionError."""
    for name in ("keyword", "forbidden"):
        if getattr(options, name) and options.method == "HEAD":
            raise OptionError(f"options.{name}", "a HEAD request has no body to look in")
    if options.body_type == "json" and options.body and json_paths.parse_json(options.body) is json_paths.NOT_JSON:
        raise OptionError("options.body", "is not JSON")
    for name in ("username", "password"):
        if options.auth in ("basic", "digest") and not getattr(options, name):
            raise OptionError(f"options.{name}", f"is missing for {options.auth} authentication")
    if options.auth == "oauth2":
        for name in ("token_url", "username", "password"):
            if not getattr(options, name):
                raise OptionError(f"options.{name}", "is missing: client credentials are a token URL, a client id and its secret")
    for name, judge_it in (("token_url", url_host), ("proxy", proxy_of), ("nameserver", nameserver_of)):
        try:
            if getattr(options, name):
                judge_it(getattr(options, name))
        except OptionError as error:
            raise OptionError(f"options.{name}", error.message) from error
    if options.auth == "bearer" and not (options.token.isascii() and options.token.isprintable() and options.token):
        raise OptionError("options.token", "must be printable ASCII")


def further_hosts(options: Options) -> dict[str, str]:
    """Return the hosts of token URL, proxy and name server by the name of their field."""
    found = {}
    if options.token_url:
        found["options.token_url"] = url_host(options.token_url)
    if options.proxy:
        found["options.proxy"] = proxy_of(options.proxy).host
    if options.nameserver:
        found["options.nameserver"] = nameserver_of(options.nameserver).host
    return found


def proxy_of(text: str) -> Proxy:
    """Parse a proxy URL like `http://host:3128` or `socks5://user:password@host:1080`. Raises OptionError."""
    scheme, separator, rest = text.partition("://")
    credentials, _, authority = rest.rstrip("/").rpartition("@")
    username, _, password = credentials.partition(":")
    if not separator or scheme not in ("http", "socks5"):
        raise OptionError("target", "must begin with http:// or socks5://")
    host, port = endpoint(authority, 3128 if scheme == "http" else 1080)
    return Proxy("http" if scheme == "http" else "socks5", host, port, unquote(username), unquote(password))


def nameserver_of(text: str) -> Server:
    """Parse an address or name with an optional port (default 53). Raises OptionError."""
    return Server(*endpoint(text, 53), "udp")


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


def propose(typed: str) -> str | None:
    """Derive a URL from user input: `example.org` becomes `https://example.org/`.

    Return None if the scheme or the port is not that of a web server.
    """
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
    if parts.username is not None:
        return None  # credentials in URLs are refused; there are options for them
    if not separator and port is not None and not parts.path.strip("/"):
        if port not in (80, 443, 3000, 5000, 8000, 8080, 8443, 9000):
            return None
        url = f"{'https' if port in (443, 8443) else 'http'}://{typed}"
    return url if urlsplit(url).path else f"{url}/"


FIELDS = (
    OptionField("method", "Method", "choice", choices=tuple((name, name) for name in METHODS)),
    OptionField("accepted_statuses", "Accepted statuses", "list", "Codes and ranges, separated by commas: 200-299, 404."),
    OptionField("keyword", "Must contain", "text", "Text that the body must contain. Case matters."),
    OptionField("forbidden", "Must not contain", "text", "Text that the body must not contain, like Fatal error."),
    conditions.option_field(
        ASSERTABLE_FACTS, "[json.$.status] == ok, [header.content-type] contains json or [body] matches PATTERN"
    ),
    OptionField("down_ms", "Down above (ms)", "whole", "Slower than this is down."),
    OptionField("upside_down", "Upside down: up while it fails", "flag"),
    *grouped(
        "Request",
        OptionField("headers", "Request headers", "headers", "One per line, like Accept: text/html. Stored encrypted."),
        OptionField("body", "Request body", "long", "Stored encrypted."),
        OptionField("body_type", "Body type", "choice", choices=(("raw", "Raw"), ("json", "JSON"), ("form", "Form"))),
    ),
    *grouped(
        "Authentication",
        OptionField("auth", "Authentication", "choice", choices=tuple(_AUTHS.items())),
        OptionField("username", "User name", "text", shown_for=("auth", "basic", "digest", "oauth2")),
        OptionField("password", "Password", "text", "Stored encrypted.", shown_for=("auth", "basic", "digest", "oauth2")),
        OptionField("token", "Bearer token", "text", "Stored encrypted.", shown_for=("auth", "bearer")),
        OptionField(
            "token_url", "Token URL", "text", "User name and password are the client ID and the client secret.",
            shown_for=("auth", "oauth2"),
        ),
        OptionField("scope", "Scope", "text", shown_for=("auth", "oauth2")),
    ),
    *grouped(
        "Redirects",
        OptionField("max_redirects", "Maximum redirects", "whole", "With 0 the redirect itself is checked."),
        OptionField("same_host", "Redirects must stay on the host", "flag"),
        OptionField("allow_downgrade", "Redirects may lead from https to http", "flag"),
    ),
    *grouped(
        "Network",
        OptionField("proxy", "Proxy", "text", "http://host:3128 or socks5://user:password@host:1080. Stored encrypted."),
        OptionField("nameserver", "Name server", "text", "Used instead of the worker's own name servers."),
        OptionField(
            "http_version", "HTTP version", "choice", choices=(("auto", "Negotiated"), ("1.1", "1.1"), ("2", "2 only"))
        ),
        OptionField("max_body_bytes", "Maximum body (bytes)", "whole", "A larger body, once decompressed, is down."),
        IP_VERSION,
    ),
    *TRUST_FIELDS,
)  # fmt: skip
