"""The demo's organization: create it, update its targets, remove it."""

from __future__ import annotations

import random
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from apps.core.clock import to_ms
from apps.demo.past_runs import Past, acknowledge_some, seed_rollups, seed_runs, seed_states
from apps.demo.plan import PARTS, Part, outages
from apps.demo.servers import Places
from apps.incidents.machine import next_slot
from apps.incidents.rows import new_state_row, policy_of
from apps.incidents.services import check_commands
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.monitors.dispatch_cursor import next_revision_start
from apps.monitors.models import Check, Region
from apps.monitors.regions import ensure_region
from apps.monitors.resources import ensure_resource
from apps.monitors.schedule import phase_of
from apps.monitors.selectors import ping_url
from apps.net.errors import NetError
from apps.net.icmp import open_icmp_socket
from apps.notifications.models import Channel
from apps.notifications.services.channels import change_channel, create_channel
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Membership, Organization, Project, Role, User
from apps.probes.registry import PASSIVE
from apps.results.models import Baseline, DayRollup, DaySum, HourRollup, LateHour, Ping, StateInterval
from apps.results.partitions import drop_empty_days
from apps.statuspages.services import ComponentSpec, change_page, ensure_page

EMAIL = "demo@example.org"
SLUG = "demo"
DAYS = 90
INTERVAL_S = 10
_SILENT = "demo-silent"


def demo_organization() -> Organization | None:
    return Organization.objects.filter(is_demo=True).first()


def make_demo(*, places: Places, now: datetime) -> Organization:
    """Create the demo's organization with everything in it, history included."""
    start = now - timedelta(days=DAYS)
    with transaction.atomic():
        org = Organization.objects.create(name=f"Demo {secrets.token_hex(2)}", is_demo=True)
        user = User.objects.filter(email=EMAIL).first() or User.objects.create_user(EMAIL, None, name="Dana")
        Membership.objects.create(organization=org, user=user, role=Role.OWNER)
        project = Project.objects.create(organization=org, name="Web shop")
        ensure_region(slug="local", name="Local")
        silent = ensure_region(slug=_SILENT, name="Demo, switched off")
        Region.objects.filter(pk=silent.pk).update(is_enabled=False)
        parts = [part for part in PARTS if part.kind != "icmp" or may_ping()]
        checks = {part.path: _make_check(project, part, places, silent, start, now) for part in parts}
        create_channel(
            actor=SYSTEM, now=now, project=project, name="Demo hook", kind="webhook", config={"url": f"{places.url}/hook"}
        )
    chance = random.Random(7)
    pasts = [
        Past(
            checks[part.path],
            part.base_ms,
            outages(chance, number=part.trouble, start=to_ms(start), end=to_ms(now), kind=part.kind),
        )
        for part in parts
    ]
    ids = [past.check.pk for past in pasts]
    seed_runs(pasts=pasts, start=start, until=now)
    with transaction.atomic():
        seed_states(pasts=pasts, start=start)
    acknowledge_some(checks=ids, user=user, chance=chance)
    seed_rollups(checks=ids, start=start, until=now)
    _publish(project, now)
    for part in parts:
        if part.is_paused:
            check_commands.pause_check(actor=SYSTEM, check_id=checks[part.path].pk, now=now)
    return org


def _make_check(project: Project, part: Part, places: Places, silent: Region, created_at: datetime, now: datetime) -> Check:
    """Create a check as if a service had done so 90 days ago. Its state begins now."""
    spec = CheckSpec(
        name=part.name,
        kind=part.kind,
        target=_target(part, places),
        options=_options(part, places),
        interval_s=_interval_s(part),
        timeout_s=5,
        degraded_ms=part.degraded_ms,
        fail_after=part.fail_after,
        regions=("local",),
    )
    fields = vars(validate_spec(spec)) | ({"region_ids": [silent.pk]} if part.is_silent else {})
    check_id, since = uuid.uuid4(), next_revision_start(now=now)
    check = Check.objects.create(
        id=check_id,
        organization_id=project.organization_id,
        project=project,
        resource=ensure_resource(project=project, name=part.resource),
        since_ms=since,
        phase_ms=phase_of(check_id, _interval_s(part) * 1000),
        created_at=created_at,
        **fields,
    )
    first = None if part.kind in PASSIVE else next_slot(since - 1, policy_of(check))
    new_state_row(check, first_slot=first, now_ms=to_ms(now)).save(force_insert=True)
    return check


def may_ping() -> bool:
    """Return whether this machine lets us send ICMP. Without it the demo leaves its ICMP check out."""
    try:
        open_icmp_socket("127.0.0.1").close()
    except NetError:
        return False
    return True


def _interval_s(part: Part) -> int:
    return 60 if part.kind in PASSIVE else INTERVAL_S


def _target(part: Part, places: Places) -> str:
    targets = {
        "http": f"{places.url}{part.path}",
        "tcp": places.url.partition("://")[2],
        "icmp": "127.0.0.1",
        "dns": "shop.example",
        "smtp": f"127.0.0.1:{places.smtp}",
        "tls": f"127.0.0.1:{places.tls}",
        "heartbeat": "the demo itself, every half a minute",
    }
    return targets[part.kind]


def _options(part: Part, places: Places) -> dict[str, Any]:
    more = {"dns": {"nameserver": f"127.0.0.1:{places.dns}"}, "tls": {"ca": places.ca}}
    return {**(part.options or {}), **more.get(part.kind, {})}


def _publish(project: Project, now: datetime) -> None:
    groups = {part.resource: part.group for part in PARTS if part.group}
    shown = [
        ComponentSpec(ensure_resource(project=project, name=part.resource), group=part.group)
        for part in sorted(PARTS, key=lambda part: list(dict.fromkeys(groups.values())).index(part.group) if part.group else 9)
        if part.group
    ]
    change_page(
        actor=SYSTEM,
        now=now,
        page=ensure_page(actor=SYSTEM, now=now, project=project),
        title="Web shop",
        slug=SLUG,
        description="Demo data: how a public page looks.",
        is_published=True,
        components=shown,
    )


def point_demo_at(*, organization: Organization, places: Places, now: datetime) -> None:
    """Update the checks and the webhook: ports may differ from the last start, and the CA certificate is new."""
    wanted = {part.name: {"target": _target(part, places), "options": _options(part, places)} for part in PARTS}
    for check in Check.objects.live().filter(organization=organization):
        changes = wanted.get(check.name)
        if changes is not None:
            check_commands.edit_check(actor=SYSTEM, check_id=check.pk, changes=changes, resource=None, now=now)
    for channel in Channel.objects.live().filter(organization=organization, kind="webhook", name="Demo hook"):
        change_channel(
            actor=SYSTEM,
            now=now,
            channel=channel,
            name=channel.name,
            config={**channel.config, "url": f"{places.url}/hook"},
            is_enabled=True,
        )


def demo_ping_url(organization: Organization) -> str | None:
    """Return the address that the demo's job pings, or None without its heartbeat."""
    check = Check.objects.live().filter(organization=organization, kind="heartbeat").first()
    return None if check is None else ping_url(check)


def new_password() -> str:
    """Set and return a random password of the demo's user, at every start: a publicly known one would be a hole."""
    password = secrets.token_urlsafe(9)
    user = User.objects.get(email=EMAIL)
    user.set_password(password)
    user.save(update_fields=["password"])
    return password


def remove_demo() -> int:
    """Delete all rows and runs of the demo, and partitions that are then empty. Returns the number of its checks."""
    ids = list(Check.objects.filter(organization__is_demo=True).values_list("pk", flat=True))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '300s'")
        Organization.objects.filter(is_demo=True).delete()
        User.objects.filter(email=EMAIL, memberships=None).delete()
        Region.objects.filter(slug=_SILENT).delete()
        for model in (StateInterval, DaySum, HourRollup, DayRollup, LateHour, Ping, Baseline):
            model.objects.filter(check_id__in=ids).delete()
        cursor.execute("DELETE FROM check_runs WHERE check_id = ANY (%s)", [ids])
        cursor.execute("DELETE FROM results_packedruns WHERE check_id = ANY (%s)", [ids])
    drop_empty_days()
    return len(ids)
