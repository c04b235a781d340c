"""`email`: a mail to up to twenty addresses, through Django's backend (console, SMTP or a provider by anymail)."""

from __future__ import annotations

import smtplib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from anymail.exceptions import AnymailError
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.core.validators import validate_email

from apps.core.errors import FieldError
from apps.notifications.contract import ChannelKind, ConfigField, Message, SendError
from apps.notifications.message_text import body, subject


def parse(config: Mapping[str, Any]) -> dict[str, Any]:
    for name in config:
        if name != "to":
            raise FieldError(f"config.{name}", "is not a field of an e-mail channel")
    given = config.get("to")
    addresses = [given] if isinstance(given, str) else given
    if not isinstance(addresses, list) or not 1 <= len(addresses) <= 20:
        raise FieldError("config.to", "must be one to twenty e-mail addresses")
    for address in addresses:
        if not isinstance(address, str) or not address.isprintable():  # a lone surrogate is not printable
            raise FieldError("config.to", "must be texts")
        try:
            validate_email(address)
        except ValidationError as error:
            raise FieldError("config.to", f"{address!r} is not an e-mail address") from error
    return {"to": addresses}


def send(config: Mapping[str, Any], message: Message) -> None:
    # The same Message-ID for every attempt: a mail program shows a repeated message once.
    headers = {"Message-ID": f"<{message.key}@goruptime>", "Auto-Submitted": "auto-generated"}
    mail = EmailMultiAlternatives(subject(message), body(message), to=config["to"], headers=headers)
    try:
        mail.send()
    except smtplib.SMTPRecipientsRefused as error:
        raise SendError(f"every recipient was refused: {error}", is_permanent=True) from error
    except (smtplib.SMTPException, AnymailError, OSError) as error:
        raise SendError(f"the mail was not taken: {error}") from error


# The lease covers about thirty SMTP commands, each of which has its own timeout (EMAIL_TIMEOUT).
KIND = ChannelKind(
    name="email",
    title="E-mail",
    parse=parse,
    send=send,
    fields=(ConfigField("to", "Addresses", "One to a line, up to twenty.", is_list=True),),
    confirmed_field="to",
    lease=timedelta(minutes=8),
)
