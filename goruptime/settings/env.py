"""Typed access to environment variables. A test compares `Env.names`, those that were read, with `.env.example`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from apps.probes.secret_files import secret

_HIGHEST_PORT = 65_535


class Env:
    """Reads variables strictly: an invalid value raises ImproperlyConfigured, whose text says what is wrong."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.names: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        self.names.add(name)
        return self._environment.get(name) or default

    def secret(self, name: str) -> str:
        """Return the variable, or the content of the file that NAME_FILE names. Raises ImproperlyConfigured."""
        self.names.update({name, f"{name}_FILE"})
        try:
            return secret(self._environment, name)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from error

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name, "true" if default else "false")
        if value not in ("true", "false"):
            raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}")
        return value == "true"

    def whole(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if not value.isdigit():
            raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}")
        return int(value)

    def port(self, name: str) -> None:
        """Validate a port that is no setting: each process has its own and reads it in `telemetry.health.address`."""
        if self.whole(name, 0) > _HIGHEST_PORT:
            raise ImproperlyConfigured(f"{name} must be at most {_HIGHEST_PORT}")

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def items(self, name: str, default: str = "") -> list[str]:
        return [item.strip() for item in self.text(name, default).split(",") if item.strip()]


env = Env(os.environ)


STATEMENT_TIMEOUT_S = 15
_DATABASE_OPTIONS = {
    "connect_timeout": 5,
    "application_name": "goruptime",
    # A server that vanishes, or a lock that is never released, must not block a tick or ingest forever, and
    # a statement whose client gave it up (`core/timed_postgres/client_timeout.py`) must not go on.
    "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s "
    "-c client_connection_check_interval=2s",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def database(url: str) -> dict[str, object]:
    """Return Django's database settings for `postgresql://user:password@host:port/name?option=value`."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://")
    options = dict(parse_qsl(parts.query))
    host = options.pop("host", "") or unquote(parts.hostname or "")
    return {
        "ENGINE": "apps.core.timed_postgres",
        "NAME": unquote(parts.path.lstrip("/")) or "goruptime",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": host,
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {**_DATABASE_OPTIONS, **options},
    }


def email(url: str) -> dict[str, object]:
    """Return e-mail settings for `console:`, `smtp://user:password@host:port`, `smtp+tls://`, `smtps://` or anymail."""
    parts = urlsplit(url)
    if parts.scheme == "console":
        return {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
    if parts.scheme in ("smtp", "smtp+tls", "smtps"):
        return {
            "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
            "EMAIL_HOST": parts.hostname or "localhost",
            "EMAIL_PORT": parts.port or {"smtp": 25, "smtp+tls": 587, "smtps": 465}[parts.scheme],
            "EMAIL_HOST_USER": unquote(parts.username or ""),
            "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
            "EMAIL_USE_TLS": parts.scheme == "smtp+tls",
            "EMAIL_USE_SSL": parts.scheme == "smtps",
        }
    if parts.scheme.startswith("anymail+"):
        provider = parts.scheme.removeprefix("anymail+")
        keys = {f"{provider}_{name}".upper(): value for name, value in parse_qsl(parts.query)}
        return {
            "EMAIL_BACKEND": f"anymail.backends.{provider}.EmailBackend",
            "ANYMAIL": {**keys, "REQUESTS_TIMEOUT": 15},
        }
    raise ImproperlyConfigured(
        f"GORUPTIME_EMAIL_URL: {parts.scheme!r} is not console, smtp, smtp+tls, smtps or anymail+<provider>"
    )
