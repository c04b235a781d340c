"""`/ping/…`: where jobs report, as the clients of healthchecks.io do. Plain words, no account: who knows the address may ping.

Signals: none (success), `/start`, `/fail`, `/log` or `/<exit code>`; `?rid=<uuid>` tells runs apart; a body is kept.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from apps.core.middleware import drain
from apps.core.throttle import Limit, client_address, may_try
from apps.incidents.passive import Signal
from apps.incidents.services.acts import create_check
from apps.incidents.services.pings import MethodRefusedError, Ping, receive_ping
from apps.monitors.errors import FieldError
from apps.monitors.models import Check
from apps.monitors.regions import hear_core
from apps.monitors.selectors import heartbeat_named
from apps.monitors.services import CheckSpec
from apps.orgs.models import Project
from apps.probes.kinds.heartbeat import SLUG
from apps.results.pings import BODY_BYTES

log = logging.getLogger(__name__)

_NEW_HEARTBEATS = Limit("ping-create", 60)
"""Made by pings, of a project."""
_METHODS = ("GET", "HEAD", "POST")
_SIGNALS = {"": Signal.SUCCESS, "start": Signal.START, "fail": Signal.FAIL, "log": Signal.LOG}
_CREATED = {"grace_s": 3_600}
_CREATED_INTERVAL_S = 86_400
"""A check that a ping makes runs daily, with an hour of grace, until somebody says better."""
_ALIVE_EVERY_S = 2


class _BadPingError(ValueError):
    """The address says something that no client means."""


@csrf_exempt
def by_id(request: HttpRequest, pk: uuid.UUID, signal: str = "") -> HttpResponse:
    return _answered(request, signal, lambda: _Found(pk))


@csrf_exempt
def by_slug(request: HttpRequest, key: str, slug: str, signal: str = "") -> HttpResponse:
    """By the project's ping key and a check's slug; `?create=1` makes the check that is not there yet."""
    if not SLUG.match(slug):
        return _said("invalid slug", 400)
    may_make = request.GET.get("create") == "1"
    return _answered(request, signal, lambda: _found(key, slug, may_make=may_make))


@dataclass(frozen=True)
class _Found:
    pk: uuid.UUID | None
    is_new: bool = False


class _TooManyError(Exception):
    """A project makes heartbeats faster than anybody means to."""


def _found(key: str, slug: str, *, may_make: bool) -> _Found:
    pk = heartbeat_named(ping_key=key, slug=slug)
    if pk is not None or not may_make:
        return _Found(pk)
    if not may_try(_NEW_HEARTBEATS, key):
        raise _TooManyError
    return _Found(_made(key, slug), is_new=True)


def _answered(request: HttpRequest, signal: str, find: Callable[[], _Found]) -> HttpResponse:
    if request.method not in _METHODS:
        return _said("GET, HEAD and POST only", 405)
    try:
        ping = _ping(request, signal)
        found = _kept(ping, find)
    except _BadPingError as error:
        return _said(str(error), 400)
    except (SuspiciousOperation, UnreadablePostError):
        return _said("invalid request", 400)
    except MethodRefusedError:
        return _said("POST only", 405)
    except _TooManyError:
        return _said("too many new checks", 429)
    except Check.DoesNotExist:
        return _said("not found", 404)
    except (OperationalError, InterfaceError):
        log.warning("a ping could not be kept: the database is away")
        return _said("try again", 503)
    return _said("Created", 201) if found.is_new else _said("OK", 200)


def _kept(ping: Ping, find: Callable[[], _Found]) -> _Found:
    """A connection that the database closed meanwhile is made anew, once. Raises Check.DoesNotExist."""
    try:
        return _received(ping, find())
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise
        connection.close()
        return _received(ping, find())


def _received(ping: Ping, found: _Found) -> _Found:
    if found.pk is None:
        raise Check.DoesNotExist
    receive_ping(check_id=found.pk, ping=ping, clock=timezone.now)
    return found


def _ping(request: HttpRequest, signal: str) -> Ping:
    """Raises _BadPingError."""
    code = int(signal) if signal.isascii() and signal.isdigit() and len(signal) <= 3 else None
    kind = _SIGNALS.get(signal)
    if code is not None:
        kind = Signal.FAIL if code else Signal.SUCCESS
    if kind is None or (code is not None and code > 255):
        raise _BadPingError("invalid url format")
    rid = request.GET.get("rid", "")
    if rid:
        try:
            rid = str(uuid.UUID(rid))
        except ValueError as error:
            raise _BadPingError("invalid uuid format") from error
    body = request.read(BODY_BYTES)
    if len(body) == BODY_BYTES:
        drain(request)
    return Ping(
        signal=kind,
        method=request.method or "",
        agent=request.META.get("HTTP_USER_AGENT", "")[:200].replace("\x00", ""),
        address=client_address(request)[:45],
        rid=rid,
        exit_code=code,
        body=body.decode(errors="replace").replace("\x00", "\ufffd"),
    )


def _made(key: str, slug: str) -> uuid.UUID | None:
    """A new heartbeat of that slug, or the one that another ping made at the same moment."""
    project = Project.objects.select_related("organization").filter(ping_key=key).first()
    if project is None:
        return None
    spec = CheckSpec(name=slug, kind="heartbeat", target="", options={**_CREATED, "slug": slug}, interval_s=_CREATED_INTERVAL_S)
    try:
        return create_check(project=project, spec=spec, resource=None, now=timezone.now()).pk
    except FieldError:
        return heartbeat_named(ping_key=key, slug=slug)


def _said(words: str, status: int) -> HttpResponse:
    response = HttpResponse(words, content_type="text/plain", status=status)
    response.headers["Ping-Body-Limit"] = str(BODY_BYTES)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def stay_heard() -> None:
    """Tell every few seconds that pings can reach us, for as long as this web server lives; from a thread of its own."""
    threading.Thread(target=_stay_heard, name="alive", daemon=True).start()


def _stay_heard() -> None:
    pause = threading.Event()
    while True:
        try:
            hear_core(now=timezone.now())
        except Exception as error:  # noqa: BLE001  # whatever it is, the next beat must come: silence would excuse every missed job
            log.warning("nobody can be told that pings reach us: %s", str(error).strip())
            connection.close()
        pause.wait(_ALIVE_EVERY_S)
