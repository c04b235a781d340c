"""The meaning of OpenSSL's messages about a failed TLS handshake. Pure."""

from __future__ import annotations

from apps.net.errors import NetError

_MEANINGS = (
    ("tls_client_cert", "asks for a client certificate", ("certificate required", "alert bad certificate", "alert unknown ca")),
    (
        "tls_old_protocol",
        "offers no TLS version that is still safe",
        ("unsupported protocol", "protocol version", "version too low"),
    ),
    ("tls_handshake", "answers, but not with TLS", ("wrong version number", "packet length too long", "record layer failure")),
)


def handshake_error(text: str, where: str) -> NetError:
    """Return the error for OpenSSL's message during or right after a handshake with `where`."""
    lowered = text.lower()
    for code, meaning, words in _MEANINGS:
        if any(word in lowered for word in words):
            return NetError(code, f"{where} {meaning} ({text})")
    return NetError("tls_handshake", f"the TLS handshake with {where} failed: {text}")
