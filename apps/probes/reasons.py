"""Why a run ended as it did: the closed list of reasons, and what each means by default."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Of one run. `unknown` is an answer without a side: the fault may be ours."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class Reason(StrEnum):
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
    verdict: Verdict
    words: str


_DOWN, _DEGRADED, _UNKNOWN = Verdict.DOWN, Verdict.DEGRADED, Verdict.UNKNOWN

MEANINGS: dict[Reason, Meaning] = {
    Reason.DNS_NXDOMAIN: Meaning(_DOWN, "The name does not exist"),
    Reason.DNS_SERVFAIL: Meaning(_DOWN, "The name server failed"),
    Reason.DNS_REFUSED: Meaning(_DOWN, "The name server refused to answer"),
    Reason.DNS_TIMEOUT: Meaning(_DOWN, "The name server did not answer in time"),
    Reason.DNS_EMPTY: Meaning(_DOWN, "The name has no such record"),
    Reason.DNS_MALFORMED: Meaning(_DOWN, "The name server's answer could not be read"),
    Reason.DNS_TRUNCATED: Meaning(_DOWN, "The name server's answer was cut short"),
    Reason.DNS_LOOP: Meaning(_DOWN, "The name leads back to itself"),
    Reason.DNS_WRONG_ANSWER: Meaning(_DOWN, "The name server gave another answer than expected"),
    Reason.DNS_CHANGED: Meaning(_DEGRADED, "The answer changed since the last run"),
    Reason.CONNECT_REFUSED: Meaning(_DOWN, "Connection refused"),
    Reason.CONNECT_TIMEOUT: Meaning(_DOWN, "No connection in time"),
    Reason.NETWORK_UNREACHABLE: Meaning(_DOWN, "No way to the network"),
    Reason.CONNECTION_RESET: Meaning(_DOWN, "The connection was reset"),
    Reason.CONNECTION_CLOSED: Meaning(_DOWN, "The connection was closed without an answer"),
    Reason.READ_TIMEOUT: Meaning(_DOWN, "No full answer in time"),
    Reason.PROTOCOL_ERROR: Meaning(_DOWN, "The answer breaks the protocol"),
    Reason.TLS_HANDSHAKE: Meaning(_DOWN, "The TLS handshake failed"),
    Reason.TLS_EXPIRED: Meaning(_DOWN, "The certificate has expired"),
    Reason.TLS_NOT_YET_VALID: Meaning(_DOWN, "The certificate is not valid yet"),
    Reason.TLS_HOSTNAME_MISMATCH: Meaning(_DOWN, "The certificate is for another name"),
    Reason.TLS_SELF_SIGNED: Meaning(_DOWN, "The certificate is self-signed"),
    Reason.TLS_UNKNOWN_CA: Meaning(_DOWN, "The certificate authority is not trusted"),
    Reason.TLS_INCOMPLETE_CHAIN: Meaning(_DOWN, "The certificate chain is incomplete"),
    Reason.TLS_REVOKED: Meaning(_DOWN, "The certificate was revoked"),
    Reason.TLS_WEAK_KEY: Meaning(_DOWN, "A key in the certificate chain is too weak"),
    Reason.TLS_OLD_PROTOCOL: Meaning(_DOWN, "The server offers no safe TLS version"),
    Reason.TLS_EXPIRING: Meaning(_DEGRADED, "The certificate expires soon"),
    Reason.TLS_CERT_CHANGED: Meaning(_DEGRADED, "The certificate changed"),
    Reason.TLS_CLIENT_CERT: Meaning(_DOWN, "The server asks for a client certificate"),
    Reason.HTTP_STATUS: Meaning(_DOWN, "Unexpected HTTP status"),
    Reason.RATE_LIMITED: Meaning(_DOWN, "The server limits our requests"),
    Reason.REDIRECT_LOOP: Meaning(_DOWN, "The redirects go in a circle"),
    Reason.REDIRECT_TOO_MANY: Meaning(_DOWN, "Too many redirects"),
    Reason.REDIRECT_BLOCKED: Meaning(_DOWN, "A redirect leads where probes may not go"),
    Reason.REDIRECT_DOWNGRADE: Meaning(_DOWN, "A redirect leads from https to http"),
    Reason.REDIRECT_OTHER_HOST: Meaning(_DOWN, "A redirect leads to another host"),
    Reason.HEADER_MISMATCH: Meaning(_DOWN, "A header is not as expected"),
    Reason.CONTENT_TYPE: Meaning(_DOWN, "Unexpected content type"),
    Reason.BODY_MISMATCH: Meaning(_DOWN, "The body lacks what was expected"),
    Reason.BODY_FORBIDDEN: Meaning(_DOWN, "The body holds what must not be there"),
    Reason.BODY_TOO_LARGE: Meaning(_DOWN, "The body is too large"),
    Reason.BODY_SIZE: Meaning(_DOWN, "The body has an unexpected size"),
    Reason.TRUNCATED_BODY: Meaning(_DOWN, "The body was cut short"),
    Reason.AUTH_FAILED: Meaning(_DOWN, "The credentials were refused"),
    Reason.TOO_SLOW: Meaning(_DEGRADED, "The answer was slow"),
    Reason.BANNER_MISMATCH: Meaning(_DOWN, "Unexpected banner"),
    Reason.SMTP_GREETING: Meaning(_DOWN, "The mail server did not greet as it should"),
    Reason.STARTTLS_MISSING: Meaning(_DOWN, "STARTTLS is not offered"),
    Reason.ICMP_UNREACHABLE: Meaning(_DOWN, "The host is unreachable"),
    Reason.PACKET_LOSS: Meaning(_DOWN, "Packets are lost"),
    Reason.HEARTBEAT_MISSED: Meaning(_DOWN, "No heartbeat in time"),
    Reason.HEARTBEAT_FAILED: Meaning(_DOWN, "The job reported a failure"),
    Reason.HEARTBEAT_OVERRUN: Meaning(_DOWN, "The job runs too long"),
    Reason.ASSERTION_FAILED: Meaning(_DOWN, "An assertion failed"),
    Reason.PROXY_FAILED: Meaning(_DOWN, "The proxy failed"),
    Reason.BLOCKED_ADDRESS: Meaning(_DOWN, "The address may not be probed"),
    Reason.CHECK_DELETED: Meaning(_UNKNOWN, "The check was deleted"),
    Reason.INTERNAL: Meaning(_UNKNOWN, "The probe itself failed"),
    Reason.REGIONS_DISAGREE: Meaning(_DEGRADED, "The regions disagree"),
    Reason.NO_RESULT: Meaning(_UNKNOWN, "No result"),
}
