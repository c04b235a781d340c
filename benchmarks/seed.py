"""Create thousands of checks of one target in bulk: `python -m benchmarks.seed PROJECT URL COUNT INTERVAL_S`."""

from __future__ import annotations

import os
import sys
import uuid

import django

_TOGETHER = 1_000
"""Checks per transaction. Each transaction holds the lock that the tick waits for."""


def seed(project_id: str, url: str, count: int, interval_s: int) -> None:
    from django.db import transaction
    from django.utils import timezone

    from apps.core.clock import to_ms
    from apps.incidents.machine import State, next_slot
    from apps.incidents.models import CheckState
    from apps.incidents.rows import policy_of, write_state
    from apps.monitors.check_spec import CheckSpec, validate_spec
    from apps.monitors.dispatch_cursor import next_revision_start
    from apps.monitors.models import Check
    from apps.monitors.resources import ensure_resource
    from apps.monitors.schedule import phase_of
    from apps.orgs.models import Project

    project = Project.objects.get(pk=project_id)
    resource = ensure_resource(project=project, name="bench")
    fields = validate_spec(
        CheckSpec(name="bench", kind="http", target=f"{url}/0", options={}, interval_s=interval_s, timeout_s=5)
    )
    for start in range(0, count, _TOGETHER):
        with transaction.atomic():
            now = timezone.now()
            since = next_revision_start(now=now)
            checks, states = [], []
            for index in range(start, min(start + _TOGETHER, count)):
                check_id = uuid.uuid4()
                named = {**vars(fields), "name": f"bench {index}", "target": f"{url}/{index}"}
                check = Check(
                    id=check_id, organization_id=project.organization_id, project=project, resource=resource, since_ms=since,
                    phase_ms=phase_of(check_id, interval_s * 1000), created_at=now, **named,
                )  # fmt: skip
                checks.append(check)
                row = CheckState(check_row=check, since=to_ms(now))
                first = next_slot(since - 1, policy_of(check))
                write_state(row, State(due=first, slot=first - 1))
                states.append(row)
            Check.objects.bulk_create(checks)
            CheckState.objects.bulk_create(states)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")
    django.setup()
    seed(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
