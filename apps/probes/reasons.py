"""The closed list of reasons why a run ended as it did, with the default verdict, title and advice for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The result of one run. `unknown`: nothing can be said about the target, because the fault may be ours."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """The codes of reasons; part of the API."""

    DNS_NXDOMAIN = "dns_nxdomain"
    DNS_SERVFAIL = "dns_servfail"
    DNS_REFUSED = "dns_refused"
    DNS_TIMEOUT = "dns_timeout"
    DNS_EMPTY = "dns_empty"
    DNS_MALFORMED = "dns_malformed"
    DNS_TRUNCATED = "dns_truncated"
    DNS_LOOP = "dns_loop"
    DNS_WRONG_ANSWER = "dns_wrong_answer"
    DNS_CHANGED = "dns_changed"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    NETWORK_UNREACHABLE = "network_unreachable"
    CONNECTION_RESET = "connection_reset"
    CONNECTION_CLOSED = "connection_closed"
    READ_TIMEOUT = "read_timeout"
    PROTOCOL_ERROR = "protocol_error"
    TLS_HANDSHAKE = "tls_handshake"
    TLS_EXPIRED = "tls_expired"
    TLS_NOT_YET_VALID = "tls_not_yet_valid"
    TLS_HOSTNAME_MISMATCH = "tls_hostname_mismatch"
    TLS_SELF_SIGNED = "tls_self_signed"
    TLS_UNKNOWN_CA = "tls_unknown_ca"
    TLS_INCOMPLETE_CHAIN = "tls_incomplete_chain"
    TLS_REVOKED = "tls_revoked"
    TLS_WEAK_KEY = "tls_weak_key"
    TLS_OLD_PROTOCOL = "tls_old_protocol"
    TLS_EXPIRING = "tls_expiring"
    TLS_CERT_CHANGED = "tls_cert_changed"
    TLS_CLIENT_CERT = "tls_client_cert"
    HTTP_STATUS = "http_status"
    RATE_LIMITED = "rate_limited"
    REDIRECT_LOOP = "redirect_loop"
    REDIRECT_TOO_MANY = "redirect_too_many"
    REDIRECT_BLOCKED = "redirect_blocked"
    REDIRECT_DOWNGRADE = "redirect_downgrade"
    REDIRECT_OTHER_HOST = "redirect_other_host"
    HEADER_MISMATCH = "header_mismatch"
    CONTENT_TYPE = "content_type"
    BODY_MISMATCH = "body_mismatch"
    BODY_FORBIDDEN = "body_forbidden"
    BODY_TOO_LARGE = "body_too_large"
    BODY_SIZE = "body_size"
    TRUNCATED_BODY = "truncated_body"
    AUTH_FAILED = "auth_failed"
    TOO_SLOW = "too_slow"
    BANNER_MISMATCH = "banner_mismatch"
    SMTP_GREETING = "smtp_greeting"
    STARTTLS_MISSING = "starttls_missing"
    ICMP_UNREACHABLE = "icmp_unreachable"
    PACKET_LOSS = "packet_loss"
    HEARTBEAT_MISSED = "heartbeat_missed"
    HEARTBEAT_FAILED = "heartbeat_failed"
    HEARTBEAT_OVERRUN = "heartbeat_overrun"
    ASSERTION_FAILED = "assertion_failed"
    PROXY_FAILED = "proxy_failed"
    BLOCKED_ADDRESS = "blocked_address"
    CHECK_DELETED = "check_deleted"
    INTERNAL = "internal"
    REGIONS_DISAGREE = "regions_disagree"
    NO_RESULT = "no_result"


@dataclass(frozen=True)
class Meaning:
    """The default verdict of a reason, its title and what to do about it."""

    verdict: Verdict
    words: str
    advice: str
    """What to do about it."""


_DOWN, _DEGRADED, _UNKNOWN = Verdict.DOWN, Verdict.DEGRADED, Verdict.UNKNOWN

TRANSIENT = frozenset(
    {
        Reason.DNS_SERVFAIL, Reason.DNS_REFUSED, Reason.DNS_TIMEOUT, Reason.DNS_MALFORMED, Reason.DNS_TRUNCATED,
        Reason.CONNECT_REFUSED, Reason.CONNECT_TIMEOUT, Reason.NETWORK_UNREACHABLE, Reason.CONNECTION_RESET,
        Reason.CONNECTION_CLOSED, Reason.READ_TIMEOUT, Reason.PROTOCOL_ERROR, Reason.TLS_HANDSHAKE, Reason.HTTP_STATUS,
        Reason.TRUNCATED_BODY, Reason.SMTP_GREETING, Reason.ICMP_UNREACHABLE, Reason.PACKET_LOSS, Reason.PROXY_FAILED,
    }
)  # fmt: skip
"""Reasons that may be temporary, so that another attempt can help; unlike, say, an expired certificate."""

MEANINGS: dict[Reason, Meaning] = {
    Reason.DNS_NXDOMAIN: Meaning(
        _DOWN,
        "The name does not exist",
        "Look for a typing error, an expired domain or a deleted record. If it is new, its zone may not be published yet.",
    ),
    Reason.DNS_SERVFAIL: Meaning(
        _DOWN,
        "The name server failed",
        "The zone's name servers fail, or its DNSSEC signatures are broken. Ask them one by one with dig.",
    ),
    Reason.DNS_REFUSED: Meaning(
        _DOWN,
        "The name server refused to answer",
        "The server does not serve this zone, or not for us. Check the delegation and the server's access rules.",
    ),
    Reason.DNS_TIMEOUT: Meaning(
        _DOWN,
        "The name server did not answer in time",
        "The name server is down, overloaded or behind a firewall that drops us. Ask it from another place.",
    ),
    Reason.DNS_EMPTY: Meaning(
        _DOWN,
        "The name has no such record",
        "The name exists without this type of record. Add the record, or look at another type.",
    ),
    Reason.DNS_MALFORMED: Meaning(
        _DOWN,
        "The name server's answer could not be read",
        "Something answers that does not speak DNS well, often a proxy or a broken server on the way.",
    ),
    Reason.DNS_TRUNCATED: Meaning(
        _DOWN,
        "The name server's answer was cut short",
        "The answer does not fit into a datagram and TCP does not work. Let port 53 through over TCP too.",
    ),
    Reason.DNS_LOOP: Meaning(
        _DOWN, "The name leads back to itself", "An alias leads back to itself. Follow the CNAME records and break the circle."
    ),
    Reason.DNS_WRONG_ANSWER: Meaning(
        _DOWN,
        "The name server gave another answer than expected",
        "Compare the zone with what is expected here. After a change, old answers live on for their TTL.",
    ),
    Reason.DNS_CHANGED: Meaning(
        _DEGRADED, "The answer changed since the last run", "If nobody changed the record on purpose, look who may edit the zone."
    ),
    Reason.CONNECT_REFUSED: Meaning(
        _DOWN, "Connection refused", "The host answers and nothing listens on the port. Start the service, or correct the port."
    ),
    Reason.CONNECT_TIMEOUT: Meaning(
        _DOWN, "No connection in time", "The host is down, or a firewall drops the packets. Try from another network."
    ),
    Reason.NETWORK_UNREACHABLE: Meaning(
        _DOWN,
        "No way to the network",
        "A route is missing between the region and the host. Look at the host's network and its provider.",
    ),
    Reason.CONNECTION_RESET: Meaning(
        _DOWN,
        "The connection was reset",
        "The service or a firewall cut the connection. Look into the service's log for crashes and limits.",
    ),
    Reason.CONNECTION_CLOSED: Meaning(
        _DOWN,
        "The connection was closed without an answer",
        "The service took the connection and closed it without an answer. Look into its log.",
    ),
    Reason.READ_TIMEOUT: Meaning(
        _DOWN,
        "No full answer in time",
        "The service took the request and did not finish its answer. Look for slow queries, full queues, locks.",
    ),
    Reason.PROTOCOL_ERROR: Meaning(
        _DOWN,
        "The answer breaks the protocol",
        "What answers does not speak the expected protocol. Check the port, and what stands in front of the service.",
    ),
    Reason.TLS_HANDSHAKE: Meaning(
        _DOWN,
        "The TLS handshake failed",
        "Client and server could not agree. Check that the port speaks TLS, and which versions and ciphers it allows.",
    ),
    Reason.TLS_EXPIRED: Meaning(
        _DOWN,
        "The certificate has expired",
        "Renew the certificate and reload the service. Find out why the renewal did not run.",
    ),
    Reason.TLS_NOT_YET_VALID: Meaning(
        _DOWN,
        "The certificate is not valid yet",
        "The certificate begins in the future. Check the clock of the machine that issued it, and of the server.",
    ),
    Reason.TLS_HOSTNAME_MISMATCH: Meaning(
        _DOWN,
        "The certificate is for another name",
        "The server presents a certificate for other names. Add the name, or correct the virtual host that answers.",
    ),
    Reason.TLS_SELF_SIGNED: Meaning(
        _DOWN,
        "The certificate is self-signed",
        "Browsers refuse it. Use a certificate of a public authority, or give your own authority to this check.",
    ),
    Reason.TLS_UNKNOWN_CA: Meaning(
        _DOWN,
        "The certificate authority is not trusted",
        "Give your own authority to this check, or use a certificate of a public one.",
    ),
    Reason.TLS_INCOMPLETE_CHAIN: Meaning(
        _DOWN,
        "The certificate chain is incomplete",
        "The server sends its certificate without the intermediate one. Configure the full chain.",
    ),
    Reason.TLS_REVOKED: Meaning(
        _DOWN, "The certificate was revoked", "The authority took the certificate back. Issue a new one with a new key, at once."
    ),
    Reason.TLS_WEAK_KEY: Meaning(
        _DOWN,
        "A key in the certificate chain is too weak",
        "Issue a certificate with an RSA key of 2,048 bits or more, or an elliptic one, signed with SHA-256.",
    ),
    Reason.TLS_OLD_PROTOCOL: Meaning(
        _DOWN, "The server offers no safe TLS version", "Clients have stopped to speak this version. Enable TLS 1.2 and 1.3."
    ),
    Reason.TLS_EXPIRING: Meaning(
        _DEGRADED,
        "The certificate expires soon",
        "Renew the certificate. If renewal is automatic, it did not run or the service was not reloaded.",
    ),
    Reason.TLS_CERT_CHANGED: Meaning(
        _DEGRADED, "The certificate changed", "If it was not renewed on purpose, somebody else may be answering for you."
    ),
    Reason.TLS_CLIENT_CERT: Meaning(
        _DOWN,
        "The server asks for a client certificate",
        "The server wants a client certificate. Give one to this check, or let this path be without.",
    ),
    Reason.HTTP_STATUS: Meaning(
        _DOWN,
        "Unexpected HTTP status",
        "The server answers with an error. Open the address yourself, then look into the server's log.",
    ),
    Reason.RATE_LIMITED: Meaning(
        _DOWN,
        "The server limits our requests",
        "The server counts our requests as too many. Let the probes' addresses pass, or look less often.",
    ),
    Reason.REDIRECT_LOOP: Meaning(
        _DOWN,
        "The redirects go in a circle",
        "Two addresses send each other the visitor. Often http and https, or www, are redirected twice.",
    ),
    Reason.REDIRECT_TOO_MANY: Meaning(_DOWN, "Too many redirects", "Shorten the chain of redirects, or allow more of them."),
    Reason.REDIRECT_BLOCKED: Meaning(
        _DOWN,
        "A redirect leads where probes may not go",
        "The redirect leads to an address that this deployment does not probe. Correct it, or look at its goal directly.",
    ),
    Reason.REDIRECT_DOWNGRADE: Meaning(
        _DOWN,
        "A redirect leads from https to http",
        "Visitors are led from https to http. Correct the redirect, or allow it in this check.",
    ),
    Reason.REDIRECT_OTHER_HOST: Meaning(
        _DOWN, "A redirect leads to another host", "Visitors are led to another host. If that is right, watch that host."
    ),
    Reason.HEADER_MISMATCH: Meaning(
        _DOWN, "A header is not as expected", "Compare the server's configuration with what is expected here."
    ),
    Reason.CONTENT_TYPE: Meaning(
        _DOWN, "Unexpected content type", "The answer is of another type. Often an error page stands where data was expected."
    ),
    Reason.BODY_MISMATCH: Meaning(
        _DOWN,
        "The body lacks what was expected",
        "The page answers without what makes it whole. Open it yourself: it may be empty, defaced or an error page.",
    ),
    Reason.BODY_FORBIDDEN: Meaning(
        _DOWN,
        "The body holds what must not be there",
        "The page holds a text that tells of an error. Open it, then look into the server's log.",
    ),
    Reason.BODY_TOO_LARGE: Meaning(
        _DOWN, "The body is too large", "The answer is larger than this check allows. Raise the limit if that is right."
    ),
    Reason.BODY_SIZE: Meaning(
        _DOWN,
        "The body has an unexpected size",
        "The answer has another size than expected. An empty or doubled page looks like this.",
    ),
    Reason.TRUNCATED_BODY: Meaning(
        _DOWN, "The body was cut short", "The answer ended before its announced end. A worker died, or a proxy cut it."
    ),
    Reason.AUTH_FAILED: Meaning(
        _DOWN, "The credentials were refused", "The user name, password or token is refused. Renew it here."
    ),
    Reason.TOO_SLOW: Meaning(
        _DEGRADED,
        "The answer was slow",
        "See in the phases what takes the time: name, network, TLS, or the server's own thinking.",
    ),
    Reason.BANNER_MISMATCH: Meaning(_DOWN, "Unexpected banner", "Something else answers on this port than expected."),
    Reason.SMTP_GREETING: Meaning(
        _DOWN,
        "The mail server did not greet as it should",
        "The mail server refuses to talk. Look into its log: limits, block lists, a failing backend.",
    ),
    Reason.STARTTLS_MISSING: Meaning(
        _DOWN,
        "STARTTLS is not offered",
        "The server offers no encryption. Enable it, or look for a device on the way that strips it.",
    ),
    Reason.ICMP_UNREACHABLE: Meaning(
        _DOWN, "The host is unreachable", "A router says that there is no way. Look at the host's network."
    ),
    Reason.PACKET_LOSS: Meaning(
        _DOWN, "Packets are lost", "The way to the host is overloaded or faulty. Compare with other regions."
    ),
    Reason.HEARTBEAT_MISSED: Meaning(
        _DOWN, "No heartbeat in time", "The job did not report. See whether it ran, and whether its machine reaches us."
    ),
    Reason.HEARTBEAT_FAILED: Meaning(
        _DOWN, "The job reported a failure", "The job itself says that it failed. Its last words stand beside the run."
    ),
    Reason.HEARTBEAT_OVERRUN: Meaning(
        _DOWN,
        "The job runs too long",
        "The job began and did not end in its time. See whether it hangs or has more to do than usual.",
    ),
    Reason.ASSERTION_FAILED: Meaning(
        _DOWN, "An assertion failed", "What was seen stands in brackets, what was expected behind it."
    ),
    Reason.PROXY_FAILED: Meaning(
        _DOWN, "The proxy failed", "The proxy did not bring us to the target. Check its address and its credentials."
    ),
    Reason.BLOCKED_ADDRESS: Meaning(
        _DOWN, "The address may not be probed", "This deployment does not probe such addresses. Its operator may allow them."
    ),
    Reason.CHECK_DELETED: Meaning(_UNKNOWN, "The check was deleted", "Nothing is looked at any more."),
    Reason.INTERNAL: Meaning(
        _UNKNOWN, "The probe itself failed", "The fault is ours, not the target's. The log of the region's worker tells more."
    ),
    Reason.REGIONS_DISAGREE: Meaning(
        _DEGRADED, "The regions disagree", "Some regions reach it and some do not. Compare them: it is often one network."
    ),
    Reason.NO_RESULT: Meaning(_UNKNOWN, "No result", "No region sent a result in time. See whether the regions are alive."),
}
