"""`dns`: a name server answers with the expected records for a name.

Proves what one name server answers from the worker's region, how fast, and whether it reports the answer as validated
by DNSSEC. Cannot prove what other name servers have cached, and does not validate signatures itself: it relies on the
AD flag.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.reversename
import dns.rrset

from apps.net.dns import Answer, Server, Transport
from apps.net.errors import BadHostError, NetError
from apps.net.hosts import canonical_host, literal
from apps.probes import conditions, judge, patterns
from apps.probes.contract import (
    Facts,
    Kind,
    OptionError,
    OptionField,
    Outcome,
    ProbeContext,
    RawOptions,
    notice_change,
    stored_fields,
)
from apps.probes.reasons import Reason
from apps.probes.targets import authority_of, endpoint, host_of

TYPES = ("A", "AAAA", "CNAME", "MX", "NS", "TXT", "SOA", "SRV", "CAA", "PTR")
RCODES = ("NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED")
TRANSPORTS = ("udp", "tcp", "tls")
MATCHES = {
    "all": "All are there",
    "any": "One of them is there",
    "exact": "They and no others",
    "regex": "Patterns (RE2)",
}
_SHOWN = 50
_OTHER_NAME = re.compile(r"\.|(?=.*[/*=+_])[!-~]{1,253}", re.ASCII)
"""Names that are not valid host names but can exist in the DNS."""
_REASONS = {"NXDOMAIN": Reason.DNS_NXDOMAIN, "SERVFAIL": Reason.DNS_SERVFAIL, "REFUSED": Reason.DNS_REFUSED}


ASSERTABLE_FACTS = ("latency", "address", "rcode", "flags", "answers", "ttl")


@dataclass(frozen=True)
class Options:
    name: str
    host: str
    record_type: str
    nameserver: str
    transport: Transport
    expected: tuple[str, ...]
    match: Literal["all", "any", "exact", "regex"]
    rcode: str
    min_ttl: int | None
    dnssec: bool
    notice_change: bool
    assertions: tuple[str, ...]
    degraded_ms: int | None

    @property
    def server(self) -> Server:
        default = 853 if self.transport == "tls" else 53
        host, port = endpoint(self.nameserver, default) if self.nameserver else ("", default)
        return Server(host, port, self.transport)

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("name", "host", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    """Parse and validate; the target is a name, or for PTR an address. Raises OptionError for `target` or an option."""
    fields = RawOptions(raw)
    nameserver = fields.text("nameserver", limit=260)
    try:
        server_host = endpoint(nameserver, 53)[0] if nameserver else ""
    except OptionError as error:
        raise OptionError("options.nameserver", error.message) from error
    options = Options(
        name=_question_name(target),
        host=server_host,
        record_type=fields.choice("record_type", "A", TYPES),
        nameserver=nameserver,
        transport=cast(Transport, fields.choice("transport", "udp", TRANSPORTS)),
        expected=fields.texts("expected", most=50, limit=1_000),
        match=cast(Literal["all", "any", "exact", "regex"], fields.choice("match", "all", tuple(MATCHES))),
        rcode=fields.choice("rcode", "NOERROR", RCODES),
        min_ttl=fields.whole("min_ttl", None, least=1, most=604_800),
        dnssec=fields.flag("dnssec", False),
        notice_change=fields.flag("notice_change", False),
        assertions=conditions.read(fields, ASSERTABLE_FACTS),
        degraded_ms=fields.whole("degraded_ms", None, least=1, most=600_000),
    )
    if literal(options.name) and options.record_type != "PTR":
        raise OptionError("target", "must be a name; of an address only PTR can be asked")
    if options.match == "regex":
        for pattern in options.expected:
            patterns.check("options.expected", pattern)
    if options.expected and options.rcode != "NOERROR":
        raise OptionError("options.expected", f"cannot be there in an answer with {options.rcode}")
    fields.end()
    return options


def _question_name(target: str) -> str:
    """Return the name to query: a host or another DNS name, like `1.0/25.2.0.192.in-addr.arpa` (RFC 2317) or `.`.

    Raises OptionError.
    """
    try:
        return host_of(target)
    except OptionError:
        if not _OTHER_NAME.fullmatch(target):
            raise
    try:
        return dns.name.from_text(target).to_text(omit_final_dot=target != ".")
    except dns.exception.DNSException as error:
        raise OptionError("target", f"is not a name: {error}") from error


async def run(options: Options, deadline: float, context: ProbeContext) -> Outcome:
    started = asyncio.get_running_loop().time()
    question = dns.reversename.from_address(options.name) if literal(options.name) else dns.name.from_text(options.name)
    facts: Facts = {}
    ttls: list[int] = []
    refused: Outcome | None = None
    following = context.network.dns.follow_cnames(
        question, options.record_type, options.server, deadline, want_dnssec=options.dnssec
    )
    try:
        async with contextlib.aclosing(following) as answers:
            async for answer in answers:
                facts |= _answer_facts(answer)
                refused = _wrong_rcode(answer.message, options, facts)
                if refused is not None or options.rcode != "NOERROR":
                    break
                chain = answer.chain()
                ttls += [cname.ttl for cname in chain.cnames]
                facts |= _records(chain.answer, ttls)
    except NetError as error:
        return Outcome.failed(error, facts)
    latency_ms = (asyncio.get_running_loop().time() - started) * 1000
    slow = judge.slow(latency_ms, options.degraded_ms, facts)
    outcome = judge.first(
        refused,
        *_findings(options, facts),
        *judge.failed(options.assertions, latency_ms, facts, context.now_ms),
        _changed(options, context, facts),
        slow,
        facts=facts,
    )
    for kept in (facts, facts.get("baseline", {})):
        if "answers" in kept:
            kept["answers"] = kept["answers"][:_SHOWN]  # all answers were judged, only the first are stored
    return outcome


def _answer_facts(answer: Answer) -> Facts:
    return {
        "phases_ms": {"dns": round(answer.took_ms, 2)},
        "rcode": dns.rcode.to_text(answer.message.rcode()),
        "flags": dns.flags.to_text(answer.message.flags),
    }


def _wrong_rcode(answer: dns.message.Message, options: Options, facts: Facts) -> Outcome | None:
    code = facts["rcode"]
    if code == options.rcode:
        return None
    reason = _REASONS.get(code, Reason.DNS_WRONG_ANSWER)
    words = {"NXDOMAIN": f"the name {options.name} does not exist"}.get(code, "")
    shown = f"[rcode] ({code}) == {options.rcode}"
    return Outcome.because(reason, f"{words}: {shown}" if words else shown, facts)


def _records(rows: dns.rrset.RRset | None, ttls: Sequence[int]) -> Facts:
    if rows is None:
        return {"answers": []}
    return {"answers": sorted(_text(row) for row in rows), "ttl": min([rows.ttl, *ttls])}


def _text(row: Any) -> str:
    """Return a record as users write it: names without the final dot, TXT strings joined and without quotes."""
    if row.rdtype == dns.rdatatype.TXT:
        return b"".join(row.strings).decode("utf-8", "replace").replace("\x00", "�")
    return _plain(row.to_text())


def _plain(text: str) -> str:
    """Normalize record data: lower case, no final dots, addresses in canonical form."""
    parts = [part.removesuffix(".").lower() if part != "." else part for part in text.split()]
    try:
        return str(ipaddress.ip_address(parts[0])) if len(parts) == 1 else " ".join(parts)
    except ValueError:
        return " ".join(parts)


def _expected_forms(record_type: str, written: str) -> frozenset[str]:
    """Return all forms in which an answer may equal the expected text: as written, and as parsed by dnspython."""
    forms = {written if record_type == "TXT" else _plain(written)}
    words = written if record_type == "TXT" else " ".join(_ascii_word(word) for word in written.split())
    with contextlib.suppress(dns.exception.DNSException, ValueError):
        row = dns.rdata.from_text("IN", record_type, words, origin=dns.name.root, relativize=False)
        forms.add(_text(row))
    return frozenset(forms)


def _ascii_word(word: str) -> str:
    """Convert an internationalized name to its ASCII form."""
    if word.isascii():
        return word
    try:
        return canonical_host(word)
    except BadHostError:
        return word


def _findings(options: Options, facts: Facts) -> list[Outcome | None]:
    """Return the findings about records, DNSSEC and TTL; None entries are fulfilled expectations."""
    if options.rcode != "NOERROR":
        return []
    answers: list[str] = facts.get("answers", [])
    if not answers:
        return [Outcome.because(Reason.DNS_EMPTY, f"the name {options.name} has no {options.record_type} record", facts)]
    ttl = facts["ttl"]
    is_vouched = "AD" in facts["flags"].split()
    return [
        _unexpected(options, answers, facts),
        Outcome.because(Reason.DNS_WRONG_ANSWER, "[dnssec] (not validated) == validated", facts)
        if options.dnssec and not is_vouched
        else None,
        Outcome.because(Reason.ASSERTION_FAILED, f"[ttl] ({ttl} s) >= {options.min_ttl} s", facts)
        if options.min_ttl and ttl < options.min_ttl
        else None,
    ]


def _changed(options: Options, context: ProbeContext, facts: Facts) -> Outcome | None:
    """Return a degraded outcome if the set of answers differs from the baseline; the order is ignored."""
    answers = facts.get("answers")
    if not options.notice_change or not answers:
        return None
    facts["baseline"] = {"answers": answers}
    before = context.baseline.get("answers")
    if before in (None, answers[:_SHOWN]):
        return None
    return Outcome.because(Reason.DNS_CHANGED, f"[answers] ({', '.join(answers)[:500]}) == {', '.join(before)[:500]}", facts)


def _unexpected(options: Options, answers: Sequence[str], facts: Facts) -> Outcome | None:
    if not options.expected:
        return None
    if options.match == "regex":
        is_right = all(any(patterns.compiled(wanted).search(answer) for answer in answers) for wanted in options.expected)
    else:
        found = set(answers)
        expected = [_expected_forms(options.record_type, written) for written in options.expected]
        are_there = [bool(forms & found) for forms in expected]
        is_exact = all(are_there) and found <= frozenset().union(*expected)
        is_right = {"all": all(are_there), "any": any(are_there), "exact": is_exact}[options.match]
    if is_right:
        return None
    message = f"[answers] ({', '.join(answers)[:500]}) {options.match} of {', '.join(options.expected)[:500]}"
    return Outcome.because(Reason.DNS_WRONG_ANSWER, message, facts)


def propose(typed: str) -> str | None:
    """Derive a host name from user input; None for an address."""
    _, authority = authority_of(typed)
    try:
        host, _ = endpoint(authority, 53)
    except OptionError:
        return None
    return None if literal(host) else host


FIELDS = (
    OptionField("record_type", "Record type", "choice", choices=tuple((name, name) for name in TYPES)),
    OptionField("expected", "Expected answers", "lines", "One per line, like 192.0.2.1 or 10 mail.example.org. Empty: any."),
    OptionField("match", "Match", "choice", choices=tuple(MATCHES.items())),
    OptionField("nameserver", "Name server", "text", "An address or a name, with :port. Empty: the worker's own."),
    OptionField("transport", "Transport", "choice", choices=(("udp", "UDP"), ("tcp", "TCP"), ("tls", "TLS"))),
    OptionField("rcode", "Expected response code", "choice", choices=tuple((name, name) for name in RCODES)),
    OptionField("min_ttl", "Minimum TTL (seconds)", "whole"),
    notice_change("the answers change"),
    conditions.option_field(ASSERTABLE_FACTS, "[ttl] >= 300"),
    OptionField("dnssec", "Require DNSSEC", "flag", "The name server must say that it validated the answer (AD flag)."),
)

KIND = Kind(
    name="dns",
    title="DNS",
    parse=parse,
    run=run,
    asks="Domain name",
    proves="A name server answers with the records that the name should have.",
    propose=propose,
    example=(
        "shop.example",
        {"record_type": "MX", "expected": ["10 mail.shop.example"], "match": "exact", "notice_change": True},
    ),
    option_fields=FIELDS,
    host_field="options.nameserver",
)
