"""`webhook`: a signed JSON document by POST, to a URL that the address policy permits.

`X-GoUpTime-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body" under the channel's secret>`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from apps.core.errors import FieldError
from apps.core.masks import MASK
from apps.net.errors import BadHostError, NetError
from apps.net.hosts import canonical_host, literal
from apps.net.outbound import post
from apps.notifications.contract import TIMEOUT_S, ChannelKind, ConfigField, Message, SendError

VERSION = 1


def parse(config: Mapping[str, Any]) -> dict[str, Any]:
    url, secret = config.get("url"), config.get("secret") or secrets.token_urlsafe(32)
    for name in config:
        if name not in ("url", "secret"):
            raise FieldError(f"config.{name}", "is not a field of a webhook")
    if not isinstance(url, str) or len(url) > 2_000 or not url.isprintable() or " " in url:
        raise FieldError("config.url", "must be a URL of at most 2,000 characters")
    if not isinstance(secret, str) or not 16 <= len(secret) <= 200 or not secret.isprintable():
        raise FieldError("config.secret", "must be a text of 16 to 200 characters")
    try:
        parts = urlsplit(url)
        host = canonical_host(parts.hostname or "")
        _ = parts.port
        if (parts.username is None) != (parts.password is None):
            raise FieldError("config.url", "must hold a user name and a password, or neither")
    except (BadHostError, ValueError) as error:
        raise FieldError("config.url", str(error)) from error
    if MASK in url:
        raise FieldError("config.url", "is masked: send the whole URL")
    if parts.scheme not in ("http", "https"):
        raise FieldError("config.url", "must begin with http:// or https://")
    address = literal(host)
    if address is not None and not settings.ADDRESS_POLICY.permits(address):
        raise FieldError("config.url", f"{address} is an address that this deployment does not call")
    return {"url": url, "secret": secret}


def document(message: Message) -> dict[str, Any]:
    """Return the JSON document that the receiver gets."""
    return {
        "version": VERSION,
        "id": message.key,
        "event": message.event,
        "timestamp": message.timestamp,
        **message.payload,
    }


def signature(body: bytes, secret: str, moment_s: int) -> str:
    mac = hmac.new(secret.encode(), f"{moment_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment_s},v1={mac}"


def send(config: Mapping[str, Any], message: Message) -> None:
    body = json.dumps(document(message)).encode()
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": message.key,
        "X-GoUpTime-Event": message.event,
        "X-GoUpTime-Signature": signature(body, config["secret"], int(time.time())),
    }
    try:
        answer = post(
            config["url"],
            body=body,
            headers=headers,
            timeout_s=TIMEOUT_S,
            policy=settings.ADDRESS_POLICY,
            ca_file=settings.CA_FILE,
        )
    except NetError as error:
        raise SendError(error.message, is_permanent=error.code == "blocked_address") from error
    if 200 <= answer.status < 300:
        return
    raise SendError(
        f"the receiver answered {answer.status}",
        retry_after_s=retry_after_s(answer.headers.get("retry-after"), now_s=time.time()),
        is_permanent=answer.status == 410,
    )


def retry_after_s(text: str | None, *, now_s: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, as number or date (RFC 9110, 10.2.3), else None."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now_s)
    except (ValueError, OverflowError):
        return None


KIND = ChannelKind(
    name="webhook",
    title="Webhook",
    parse=parse,
    send=send,
    fields=(
        ConfigField("url", "URL", "Gets a signed JSON document by POST."),
        ConfigField(
            "secret",
            "Secret",
            "Signs every message; 16 characters or more. Leave it empty to generate one, or to keep the present one.",
            is_required=False,
        ),
    ),
    secret_fields=("secret",),
    address_fields=("url",),
)
