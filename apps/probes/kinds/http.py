"""`http`: a URL answers as expected over a new connection.

Proves that DNS, network, TLS (for https), server and response work from the worker's region, and reports the
certificate. Cannot prove that a page works in a browser: no scripts are run and no further resources are loaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from apps.net.errors import NetError
from apps.net.http import Response
from apps.net.request import Request
from apps.probes import conditions, json_paths, judge, judging, oauth, redirects
from apps.probes.body_text import decode_body
from apps.probes.certificates import describe
from apps.probes.conditions import Actual, Condition, Values
from apps.probes.contract import Facts, Kind, OptionError, Outcome, ProbeContext
from apps.probes.http_options import FIELDS, Options, further_hosts, parse, propose
from apps.probes.json_paths import Budget, BudgetExceededError
from apps.probes.reasons import Reason
from apps.probes.trust import diagnose_handshake

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_EXCERPT_BYTES = 2_048
_SECOND_LOOK_S = 2.0
_MUTE = frozenset({"tls_handshake", "connection_closed", "connection_reset"})
"""Errors of libcurl that do not say why the server aborted the handshake."""
_UNAUTHORIZED = 401
_SHOWN_WITH_BODY = frozenset(
    {"http_status", "body_mismatch", "body_forbidden", "auth_failed", "rate_limited", "assertion_failed", "content_type"}
)


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    try:
        request = await _signed(options, options.request, deadline, context)
    except NetError as error:
        return Outcome.failed(error)  # the target was not probed, so the outcome is not inverted
    outcome = await _looked(options, request, deadline, context)
    return judge.upside_down(outcome) if options.upside_down else outcome


async def _looked(
    options: Options, request: Request, deadline: float, context: ProbeContext, *, is_renewed: bool = False
) -> Outcome:
    """Send the request, follow redirects and judge the response.

    `is_renewed`: the OAuth token has been renewed during this run, so it is not renewed again.
    """
    started = asyncio.get_running_loop().time()
    hops: list[Facts] = []
    seen = {(request.method, request.url, request.cookies)}
    while True:
        response = await context.network.http.exchange(request, deadline)
        if response.error is not None:
            said = await _second_look(options, request, response, deadline, context)
            return _failed(response, said or response.error, hops)
        is_refused = response.status == _UNAUTHORIZED and options.auth == "oauth2" and not hops
        if is_refused and not is_renewed and oauth.forget(_grant(options)):
            try:  # the token was revoked before it expired
                anew = await _signed(options, options.request, deadline, context)
            except NetError as error:
                return Outcome.failed(error)
            return await _looked(options, anew, deadline, context, is_renewed=True)
        location = response.location if response.status in redirects.CODES else ""
        if not location or options.max_redirects == 0:
            latency_ms = (asyncio.get_running_loop().time() - started) * 1000
            return await _judged(options, response, hops, latency_ms, deadline, context)
        hops.append({"url": response.url, "status": response.status, "address": response.address})
        if len(hops) > options.max_redirects:
            message = f"[redirects] ({len(hops)}) <= {options.max_redirects}"
            return Outcome.because(Reason.REDIRECT_TOO_MANY, message, _facts(response, hops))
        try:
            request = redirects.redirected(request, response, location)
        except (OptionError, ValueError) as error:
            return Outcome.because(Reason.REDIRECT_BLOCKED, f"redirected to {location!r}: {error}", _facts(response, hops))
        stays_at = options.host if options.same_host else None
        astray = redirects.astray(response.url, request.url, stays_at=stays_at, may_downgrade=options.allow_downgrade)
        if astray is not None:
            return Outcome.because(*astray, _facts(response, hops))
        if (request.method, request.url, request.cookies) in seen:
            return Outcome.because(Reason.REDIRECT_LOOP, f"redirected to {request.url} again", _facts(response, hops))
        seen.add((request.method, request.url, request.cookies))


async def _second_look(
    options: Options, request: Request, response: Response, deadline: float, context: ProbeContext
) -> NetError | None:
    """Return the TLS error that a second handshake, which accepts any certificate, finds if libcurl's says nothing."""
    url = urlsplit(request.url)
    is_mute = response.error is not None and response.error.code in _MUTE and not response.status
    if not is_mute or url.scheme != "https" or request.proxy is not None or not response.address:
        return None
    until = min(deadline, asyncio.get_running_loop().time() + _SECOND_LOOK_S)
    fault = await diagnose_handshake(response.address, url.port or 443, url.hostname or "", options.tls, context, until)
    return fault if fault is not None and fault.code.startswith("tls_") else None


def _grant(options: Options) -> oauth.Grant:
    return options.token_url, options.username, options.password, options.scope


async def _signed(options: Options, request: Request, deadline: float, context: ProbeContext) -> Request:
    """Return the request with an OAuth token if configured. Raises NetError if no token can be obtained."""
    if options.auth != "oauth2":
        return request
    token = await oauth.token(_grant(options), request, context.network, deadline)
    return replace(request, headers=(*request.headers, ("Authorization", f"Bearer {token}")))


def _failed(response: Response, error: NetError, hops: list[Facts]) -> Outcome:
    facts = _facts(response, hops)
    if hops and error.code == "blocked_address":
        return Outcome.because(Reason.REDIRECT_BLOCKED, error.message, facts)
    return Outcome.failed(error, facts)


async def _judged(
    options: Options, response: Response, hops: list[Facts], latency_ms: float, deadline: float, context: ProbeContext
) -> Outcome:
    """Return the outcome for a response; large bodies and expensive JSONPaths are evaluated in a thread."""
    return await judging.run_bounded(
        lambda budget: _judgement(options, response, hops, latency_ms, context, budget),
        size=len(response.body),
        deadline=deadline,
        tenant=context.tenant,
    )


def _judgement(
    options: Options, response: Response, hops: list[Facts], latency_ms: float, context: ProbeContext, budget: Budget
) -> Outcome:
    """Return the outcome for a response. Raises BudgetExceededError unless the budget is final."""
    facts = _facts(response, hops)
    if response.is_capped:
        message = f"[size] ({response.size:,} bytes and more) <= {options.max_body_bytes:,} bytes"
        return Outcome.because(Reason.BODY_TOO_LARGE, message, facts)
    text = decode_body(response.body, response.header("content-type") or "")
    if json_paths.exceeds_value_limit(text) and _reads_json(options):
        message = f"the body is JSON of more than {json_paths.MAX_VALUES:,} values, too many to be searched by paths"
        return Outcome.because(Reason.BODY_TOO_LARGE, message, facts)
    with_credentials = options.auth != "none" or any(name.lower() in _CREDENTIALS for name in options.headers)
    outcome = judge.first(
        _nameless(options, facts),
        judge.status(response.status, options.accepted_statuses, with_credentials=with_credentials, facts=facts),
        judge.keyword(text, options.keyword, len(response.body), facts),
        judge.forbidden(text, options.forbidden, len(response.body), facts),
        *_failed_conditions(options, response, text, latency_ms, facts, context, budget),
        judge.too_slow(latency_ms, options.down_ms, facts),
        _version(options, response, facts),
        _ends_soon(options, facts, context),
        judge.slow(latency_ms, options.degraded_ms, facts),
        facts=facts,
    )
    if outcome.reason in _SHOWN_WITH_BODY:
        facts["body"] = _excerpt(options, text)
    return outcome


def _excerpt(options: Options, text: str) -> str:
    """Return the beginning of the body without the OAuth token; other secrets are removed by the runner."""
    beginning = text[:_EXCERPT_BYTES].replace("\x00", "�")
    token = oauth.kept(_grant(options)) if options.auth == "oauth2" else None
    return beginning.replace(token, "[secret]") if token else beginning


def _reads_json(options: Options) -> bool:
    return any(condition.fact.startswith("json.") for condition in conditions.parse_lines(options.assertions))


def _nameless(options: Options, facts: Facts) -> Outcome | None:
    """Return a down outcome for a certificate without alternative names, which browsers reject (RFC 9525, 2).

    libcurl would fall back to the common name.
    """
    certificate = facts.get("certificate")
    if not options.tls.verify_tls or not certificate or certificate["names"]:
        return None
    message = f"the certificate is for no name, not for {options.host}: its subject {certificate['subject']} does not count"
    return Outcome.because(Reason.TLS_HOSTNAME_MISMATCH, message, facts)


def _failed_conditions(
    options: Options, response: Response, text: str, latency_ms: float, facts: Facts, context: ProbeContext, budget: Budget
) -> Iterator[Outcome]:
    if not options.assertions:
        return
    document = json_paths.parse_json(text) if _reads_json(options) else None
    values = judge.asserted(facts, latency_ms, context.now_ms) | {
        **response.phases_ms, "status": response.status, "body": text, "size": response.size, "url": response.url,
    }  # fmt: skip

    def look_up(condition: Condition) -> Actual:
        head, _, rest = condition.fact.partition(".")
        if head == "header":
            return Values(response.header_values(rest), is_one_enough=True)
        if head != "json":
            return values.get(condition.fact)
        try:
            return Values(json_paths.find_values(document, rest, budget))
        except BudgetExceededError as error:
            if not budget.is_final:
                raise
            return error

    yield from judge.failed_of(options.assertions, look_up, facts, budget)


def _version(options: Options, response: Response, facts: Facts) -> Outcome | None:
    """Return a down outcome if HTTP/2 is required and was not negotiated."""
    if options.http_version != "2" or response.http_version == "2":
        return None
    return Outcome.because(Reason.ASSERTION_FAILED, f"negotiated HTTP/{response.http_version}, expected HTTP/2", facts)


def _ends_soon(options: Options, facts: Facts, context: ProbeContext) -> Outcome | None:
    ends = options.tls.expiry(facts.get("certificate"), context.now_ms)
    return ends and ends.seeing(facts)


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


KIND = Kind(
    name="http",
    title="HTTP",
    parse=parse,
    run=run,
    asks="URL",
    proves="The URL answers with an accepted status over a fresh connection: name, network, TLS and server work.",
    propose=propose,
    example=(
        "https://shop.example/health",
        {"keyword": "ok", "assertions": ["[json.$.queue] < 100", "[latency] < 800 ms"], "expiry_degraded_days": 21},
    ),
    option_fields=FIELDS,
    further_hosts=further_hosts,
    routes=("auth", "token_url", "nameserver", "proxy"),
    secret_options=("headers", "body", "password", "token", "proxy", "client_key"),
)
