"""What a check looks like in requests and answers of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.api.caller import Caller
from apps.api.strict import StrictCharField, StrictIntegerField, StrictLineField, StrictSerializer
from apps.core.clock import from_ms, timestamp, to_ms
from apps.incidents.history import recent_runs_queries
from apps.incidents.list_views import failing_region_slugs
from apps.incidents.models import CheckState
from apps.incidents.selectors import open_pauses, shown_state
from apps.monitors.check_spec import masked_options
from apps.monitors.models import Check, Region
from apps.monitors.selectors import ping_url
from apps.orgs.models import Role
from apps.results.selectors import recent_runs


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class LastRunSerializer(serializers.Serializer[Any]):
    slot = serializers.DateTimeField()
    region = serializers.CharField()
    verdict = serializers.CharField()
    latency_ms = serializers.IntegerField(allow_null=True, help_text="Null of a heartbeat whose start was not told.")


class CheckSerializer(serializers.Serializer[Any]):
    """A check as it is shown. `status` is the current one; pauses and silent regions are taken into account."""

    id = serializers.UUIDField()
    project = serializers.UUIDField()
    resource = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.CharField()
    target = serializers.CharField()
    options = serializers.JSONField(help_text="Secrets are masked; a mask sent back keeps what it stands for.")
    interval_s = serializers.IntegerField()
    timeout_s = serializers.IntegerField()
    degraded_ms = serializers.IntegerField(allow_null=True)
    retries = serializers.IntegerField()
    fail_after = serializers.IntegerField()
    recover_after = serializers.IntegerField()
    quorum = serializers.IntegerField(allow_null=True)
    regions = serializers.ListField(child=serializers.CharField())
    is_paused = serializers.BooleanField()
    revision = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["pending", "up", "warn", "down", "unknown", "paused", "maintenance"])
    since = serializers.DateTimeField()
    reason = ReasonSerializer(allow_null=True)
    last_run = LastRunSerializer(allow_null=True)
    failing_regions = serializers.ListField(
        child=serializers.CharField(), help_text="Those that see it down while others do not, whatever they decide together."
    )
    ping_url = serializers.CharField(allow_null=True, help_text="Where a heartbeat's job reports; null below member.")
    created_at = serializers.DateTimeField()


class NewCheckSerializer(StrictSerializer):
    """The fields of a check that a client may set."""

    project = serializers.UUIDField(required=False, help_text="The API key's project by default.")
    resource = serializers.UUIDField(required=False, help_text="By default a resource of the check's name is made.")
    name = StrictLineField(max_length=200)
    kind = StrictCharField(max_length=20)
    target = StrictCharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="Of a heartbeat: words about what sends the pings, or nothing.",
    )
    options = serializers.DictField(required=False)
    interval_s = StrictIntegerField(required=False)
    timeout_s = StrictIntegerField(required=False, allow_null=True)
    degraded_ms = StrictIntegerField(required=False, allow_null=True)
    retries = StrictIntegerField(required=False, help_text="Further attempts within a run, where one may help.")
    fail_after = StrictIntegerField(required=False)
    recover_after = StrictIntegerField(required=False)
    quorum = StrictIntegerField(required=False, allow_null=True)
    regions = serializers.ListField(
        child=StrictCharField(max_length=40), required=False, max_length=100,
        help_text="Slugs; by default all that are enabled. A heartbeat is heard by the core, whatever stands here.",
    )  # fmt: skip


def show_checks(checks: Sequence[Check], now: datetime, *, caller: Caller) -> list[dict[str, Any]]:
    """Return a page of checks with their states and last runs, in a fixed number of queries."""
    may_ping = caller.role.covers(Role.MEMBER)
    ids = [check.id for check in checks]
    states = CheckState.objects.in_bulk(ids)
    pauses = open_pauses(checks)
    newest = recent_runs(wanted=recent_runs_queries(checks), count=1, now_ms=to_ms(now))
    slugs = dict(Region.objects.values_list("id", "slug"))
    several = [check for check in checks if len(check.region_ids) > 1]
    rounds = max((len(check.region_ids) for check in several), default=0) * 2
    recent = recent_runs(wanted=recent_runs_queries(several), count=rounds, now_ms=to_ms(now)) if several else {}
    shown = []
    for check in checks:
        state = shown_state(check=check, row=states[check.id], pause=pauses.get(check.id), now=now)
        last = next(iter(newest[check.id]), None)
        shown.append(
            {
                "id": str(check.id),
                "project": str(check.project_id),
                "resource": str(check.resource_id),
                "name": check.name,
                "kind": check.kind,
                "target": check.target,
                "options": masked_options(check),
                "interval_s": check.interval_s,
                "timeout_s": check.timeout_s,
                "degraded_ms": check.degraded_ms,
                "retries": check.retries,
                "fail_after": check.fail_after,
                "recover_after": check.recover_after,
                "quorum": check.quorum,
                "regions": [slugs[region] for region in check.region_ids if region in slugs],
                "is_paused": check.is_paused,
                "revision": check.revision,
                "status": state.status,
                "since": timestamp(state.since),
                "reason": {"code": state.reason[0], "message": state.reason[1]} if state.reason else None,
                "last_run": last
                and {
                    "slot": timestamp(from_ms(last.slot)),
                    "region": slugs.get(last.region_id, ""),
                    "verdict": last.verdict,
                    "latency_ms": last.duration_ms,
                },
                "failing_regions": failing_region_slugs(recent.get(check.id, []), check, slugs),
                "ping_url": ping_url(check) if may_ping else None,
                "created_at": timestamp(check.created_at),
            }
        )
    return shown


_NOT_OF_THE_SPEC = ("project", "resource")


def chosen(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the sent values that are fields of a `CheckSpec`."""
    found = {name: value for name, value in values.items() if name not in _NOT_OF_THE_SPEC}
    return {**found, "regions": tuple(found["regions"])} if "regions" in found else found
