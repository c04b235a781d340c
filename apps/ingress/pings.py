"""Responses to pings, recorded in batches where possible, else one by one.

There is no authentication: whoever knows the address may ping. Responses are plain text.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from apps.core.errors import FieldError
from apps.core.throttle import Limit, allow_attempt
from apps.core.web_server.requests import Answer
from apps.incidents.services.check_commands import create_check
from apps.incidents.services.heartbeat_transition import Ping
from apps.incidents.services.receive_pings import MethodRefusedError, receive_ping, receive_pings_optimistically
from apps.ingress.ping_requests import BadPingError, PingRequest, read_ping
from apps.monitors.check_spec import CheckSpec
from apps.monitors.models import Check
from apps.monitors.selectors import heartbeat_named
from apps.orgs.actors import ping_actor
from apps.orgs.models import Project
from apps.results.stored_pings import BODY_BYTES

log = logging.getLogger(__name__)

_NEW_HEARTBEATS = Limit("ping-create", 60)
"""Heartbeats that pings may create, per minute and project."""
_CREATED = {"grace_s": 3_600}
_CREATED_INTERVAL_S = 86_400
"""A heartbeat that a ping creates is expected daily, with an hour of grace, until somebody edits it."""


class _TooManyError(Exception):
    """A project exceeds the limit of heartbeats created by pings."""


@csrf_exempt
def ping_page(request: HttpRequest, path: str) -> HttpResponse:
    """Answer a ping as a Django view, for servers without the fast handler in front."""
    try:
        found = read_ping({**request.META, "PATH_INFO": f"/ping/{path}", "wsgi.input": request})
    except BadPingError as error:
        answer = plain_answer(str(error), error.status)
    else:
        answer = plain_answer("not found", 404) if found is None else answer_ping(found)
    return HttpResponse(answer.body, status=answer.status, headers=dict(answer.headers))


def answer_ping_batch(requests: Sequence[PingRequest]) -> Mapping[int, Answer]:
    """Record the pings that a batch can record. Returns their responses by index; answer the others one by one."""
    places = [place for place, request in enumerate(requests) if request.address is not None]
    pings = [(address, request.ping) for request in requests if (address := request.address) is not None]
    try:
        heard = receive_pings_optimistically(pings=pings, clock=timezone.now)
    except (OperationalError, InterfaceError):
        connection.close()  # each ping is retried on its own, over a new connection
        return {}
    return {place: plain_answer("OK", 200) for place, is_heard in zip(places, heard, strict=True) if is_heard}


def answer_ping(request: PingRequest) -> Answer:
    """Return the response to one ping. If the database has closed the connection, a new one is tried once."""
    try:
        try:
            return _received(request)
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block:
                raise
            connection.close()
            return _received(request)
    except MethodRefusedError:
        return plain_answer("POST only", 405)
    except _TooManyError:
        return plain_answer("too many new checks", 429)
    except Check.DoesNotExist:
        return plain_answer("not found", 404)
    except (OperationalError, InterfaceError):
        log.warning("a ping could not be kept: the database is away")
        return plain_answer("try again", 503)


def _received(request: PingRequest) -> Answer:
    """Record a ping and return its response. Raises Check.DoesNotExist, MethodRefusedError, _TooManyError."""
    address, is_new = request.address, False
    if address is None:
        address = heartbeat_named(ping_key=request.key, slug=request.slug)
        if address is None and request.may_create:
            if not allow_attempt(_NEW_HEARTBEATS, request.key):
                raise _TooManyError
            address, is_new = _created(request.key, request.slug, request.ping), True
    if address is None:
        raise Check.DoesNotExist
    receive_ping(address=address, ping=request.ping, clock=timezone.now)
    return plain_answer("Created", 201) if is_new else plain_answer("OK", 200)


def _created(key: str, slug: str, ping: Ping) -> uuid.UUID | None:
    """Create a heartbeat with this slug, or return that of a simultaneous ping. None for an unknown ping key."""
    project = Project.objects.select_related("organization").filter(ping_key=key).first()
    if project is None:
        return None
    spec = CheckSpec(name=slug, kind="heartbeat", target="", options={**_CREATED, "slug": slug}, interval_s=_CREATED_INTERVAL_S)
    actor = ping_actor(project.pk, address=ping.address, user_agent=ping.agent)
    try:
        return create_check(actor=actor, project=project, spec=spec, resource=None, now=timezone.now()).pk
    except FieldError:
        return heartbeat_named(ping_key=key, slug=slug)


def plain_answer(words: str, status: int) -> Answer:
    headers = [
        ("Content-Type", "text/plain"),
        ("Ping-Body-Limit", str(BODY_BYTES)),
        ("Access-Control-Allow-Origin", "*"),
        ("Cache-Control", "no-store"),
    ]
    return Answer(status, headers, words.encode())
