"""Response times of pages, lists and the API with 10,000 checks and 5,000,000 runs: `python -m benchmarks.faces`.

Seeds an installation of its own: the processes of `manage.py up` with the checks' region disabled, past runs written in
parallel, and daily rollups of the 90 days before them. Then it requests each page over HTTP, one request after another,
signed in or with an API key. Prints JSON.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from tests.e2e.stack import ROOT, Stack

REQUESTS, SHARES = 200, 2


def seed(count: int, runs: int) -> None:
    """Create the checks of one project, partitions for their runs, and finished rollup cursors.

    Like all functions that `--act` names, it runs in a process with the installation's settings.
    """
    from django.db import transaction
    from django.utils import timezone

    from apps.core.clock import to_ms
    from apps.monitors.models import Region
    from apps.results.models import RollupCursor
    from apps.results.partitions import ensure_days

    now = timezone.now()
    with transaction.atomic():
        _seed_checks(count, now - timedelta(minutes=runs // count), now)
    ensure_days(first=now - timedelta(minutes=runs // count), days=2 + runs // count // 1_440)
    Region.objects.update(is_enabled=False)  # nothing must be probed while pages are measured
    # The rollups are seeded, too, so that the pipeline does not compute them while pages are measured.
    for kind, width in (("hour", 3_600_000), ("day", 86_400_000)):
        RollupCursor.objects.update_or_create(span=kind, defaults={"done_until": to_ms(now) // width * width, "after": None})


def seed_past(share: int) -> None:
    """Create runs, states and rollups of one share of the checks."""
    from django.utils import timezone

    from apps.monitors.models import Check

    checks = list(Check.objects.select_related("state").order_by("name"))
    _seed_past(checks[share::SHARES], checks[0].created_at, timezone.now(), share)


def seed_sums() -> None:
    """Copy the first daily rollup to each of the 90 days before it: percentiles over three months read these."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(_DAYS_BEFORE)


_DAYS_BEFORE = """
    INSERT INTO results_dayrollup (check_id, region_id, start, unknown, up, degraded, down, buckets, numbers)
    SELECT check_id, region_id, start - n * 86400000::bigint, unknown, up, degraded, down, buckets, numbers
    FROM results_dayrollup CROSS JOIN generate_series(1, 90) AS n
    WHERE start = (SELECT min(start) FROM results_dayrollup)
"""


def _seed_checks(count: int, start: datetime, now: datetime) -> None:
    import uuid

    from apps.core.clock import to_ms
    from apps.incidents.machine import State, next_slot
    from apps.incidents.models import CheckState
    from apps.incidents.rows import policy_of, write_state
    from apps.monitors.check_spec import CheckSpec, validate_spec
    from apps.monitors.dispatch_cursor import next_revision_start
    from apps.monitors.models import Check, Resource
    from apps.monitors.schedule import phase_of
    from apps.orgs.models import Project

    project = Project.objects.get()
    owner: dict[str, Any] = {"organization_id": project.organization_id, "project": project}
    spec = CheckSpec(name="x", kind="http", target="http://127.0.0.1:1/", options={}, interval_s=60, regions=("local",))
    fields, since = vars(validate_spec(spec)), next_revision_start(now=now)
    resources = [Resource(name=f"service {number:05}", **owner) for number in range(count)]
    checks, states = [], []
    for number, resource in enumerate(resources):
        check_id = uuid.uuid4()
        named = {**fields, "name": f"check {number:05}", "target": f"http://127.0.0.1:1/{number}"}
        phase = phase_of(check_id, 60_000)
        check = Check(id=check_id, resource=resource, since_ms=since, phase_ms=phase, created_at=start, **owner, **named)
        row = CheckState(check_row=check, since=to_ms(now))
        write_state(row, State(due=(first := next_slot(since - 1, policy_of(check))), slot=first - 1))
        checks.append(check)
        states.append(row)
    Resource.objects.bulk_create(resources, batch_size=2_000)
    Check.objects.bulk_create(checks, batch_size=2_000)
    CheckState.objects.bulk_create(states, batch_size=2_000)


def _seed_past(checks: Sequence[Any], start: datetime, now: datetime, share: int) -> None:
    import random

    from django.db import transaction

    from apps.core.clock import to_ms
    from apps.demo.past_runs import Past, seed_rollups, seed_runs, seed_states
    from apps.demo.plan import outages

    chance, begin, end = random.Random(share), to_ms(start), to_ms(now)
    is_long = end - begin > 8 * 3_600_000
    pasts = []
    for check in checks:
        broken = outages(chance, number=int(is_long and chance.random() < 0.2), start=begin, end=end)
        pasts.append(Past(check, chance.randrange(20, 400), broken))
    for part in range(0, len(pasts), 500):
        seed_runs(pasts=pasts[part : part + 500], start=start, until=now)
    with transaction.atomic():
        seed_states(pasts=pasts, start=start)
    for part in range(0, len(checks), 1_000):
        seed_rollups(checks=[check.pk for check in checks[part : part + 1_000]], start=start, until=now)


def wait_until_packed() -> None:
    """Wait until every day that is old enough has been packed. Raises RuntimeError after forty minutes."""
    from django.utils import timezone

    from apps.core.clock import to_ms
    from apps.results.partitions import day_of, partition_names
    from apps.results.runs import HOT_DAYS

    until = time.monotonic() + 2_400
    while day_of(partition_names()[0]) + (HOT_DAYS + 1) * 86_400_000 <= to_ms(timezone.now()):
        if time.monotonic() > until:
            raise RuntimeError(f"{partition_names()[0]} is not packed yet")
        time.sleep(1)


def hold() -> None:
    """Set the states of an ordinary day, valid for an hour: thirty checks down, ten degraded, the others up."""
    from django.utils import timezone

    from apps.core.clock import to_ms
    from apps.incidents.models import CheckState

    CheckState.objects.update(due=to_ms(timezone.now()) + 3_600_000, status="up")
    some = list(CheckState.objects.order_by("pk").values_list("pk", flat=True)[:40])
    CheckState.objects.filter(pk__in=some[:30]).update(status="down")
    CheckState.objects.filter(pk__in=some[30:]).update(status="warn")


def silence() -> None:
    """Make every check unknown: no result has arrived for ten minutes."""
    from django.db.models import F

    from apps.incidents.models import CheckState

    CheckState.objects.update(due=F("due") - 4_200_000, slot=F("slot") - 4_200_000)


class Person:
    """An HTTP client that keeps cookies, so that it can sign in."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.url
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(self, path: str, **headers: str) -> bytes:
        with self._opener.open(urllib.request.Request(self._url + path, headers=headers), timeout=30) as answer:
            return bytes(answer.read())

    def sign_in(self, email: str, password: str) -> None:
        token = re.search(rb'csrfmiddlewaretoken" value="([^"]+)"', self.get("/sign-in/"))
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1].decode(), "email": email, "password": password}
        self._opener.open(self._url + "/sign-in/", urllib.parse.urlencode(form).encode(), timeout=30)


def measure(person: Person, path: str, **headers: str) -> dict[str, Any]:
    person.get(path, **headers)
    taken, size = [], 0
    for _ in range(REQUESTS):
        began = time.perf_counter()
        size = len(person.get(path, **headers))
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return {"p50_ms": round(statistics.median(taken), 1), "p99_ms": round(taken[int(len(taken) * 0.99) - 1], 1), "bytes": size}


def _inside(stack: Stack, act: str, *arguments: str) -> None:
    """Run one of the functions above in a process with the installation's settings."""
    command = [sys.executable, "-m", "benchmarks.faces", "--act", act, *arguments]
    environment = {**stack.environment, "DJANGO_SETTINGS_MODULE": "goruptime.settings"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def _measured(stack: Stack, checks: int, runs: int) -> dict[str, Any]:
    stack.start()
    stack.bootstrap()
    began = time.monotonic()
    with stack.halted("upkeep"):  # it would pack days while they are written
        _inside(stack, "seed", "--checks", str(checks), "--runs", str(runs))
        with ThreadPoolExecutor(SHARES) as both:
            list(both.map(lambda share: _inside(stack, "past", "--share", str(share)), range(SHARES)))
        _inside(stack, "sums")
    seeded_s = time.monotonic() - began
    _inside(stack, "packed")
    packed_s = time.monotonic() - began - seeded_s
    _inside(stack, "hold")
    time.sleep(20)  # time for autovacuum to collect statistics of the new rows
    person = Person(stack)
    person.sign_in("owner@example.org", "correct horse")
    home, one = f"/projects/{stack.project}/", f"/checks/{stack.get('checks/?limit=1')['results'][0]['id']}/"
    lists = {
        "overview": home, "resources": f"{home}resources/", "resources, page 100": f"{home}resources/?page=100",
        "checks": f"{home}checks/", "checks by name, page 100": f"{home}checks/?sort=name&page=100",
        "checks, search": f"{home}checks/?q=check+0123",
    }  # fmt: skip
    others = {
        "incidents": f"{home}incidents/", "check": one,
        "check, 7 days": f"{one}latency.json?range=7d", "check, 90 days": f"{one}latency.json?range=90d",
    }  # fmt: skip
    pages = {name: measure(person, path) for name, path in {**lists, **others}.items()}
    days = {"from": (datetime.now(UTC) - timedelta(days=90)).isoformat(), "step": "86400"}
    key, api = {"X-API-Key": stack.key}, one.replace("/checks/", "/api/v1/checks/")
    asked = {
        "list": "/api/v1/checks/?limit=50", "one check": api, "its runs": f"{api}runs/?limit=50", "uptime, 30 days": f"{api}uptime/",
        "percentiles, 90 days": f"{api}latency/?{urllib.parse.urlencode(days)}",
    }  # fmt: skip
    answers = {name: measure(person, path, **key) for name, path in asked.items()}
    _inside(stack, "silence")
    silent = {name: measure(person, path) for name, path in lists.items()}
    return {
        "checks": checks,
        "runs": runs,
        "seeded_s": round(seeded_s),
        "then_packed_s": round(packed_s),
        "pages": pages,
        "api": answers,
        "pages_all_unknown": silent,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5_000_000)
    parser.add_argument("--share", type=int, default=0)
    parser.add_argument("--act", choices=("seed", "past", "sums", "packed", "hold", "silence"), help="inside the installation")
    arguments = parser.parse_args()
    if arguments.act:
        import django

        django.setup()
        acts = {
            "seed": lambda: seed(arguments.checks, arguments.runs), "past": lambda: seed_past(arguments.share),
            "sums": seed_sums, "packed": wait_until_packed, "hold": hold, "silence": silence,
        }  # fmt: skip
        acts[arguments.act]()
        return 0
    stack = Stack(GORUPTIME_LAYOUT="separate")
    try:
        figures = _measured(stack, arguments.checks, arguments.runs)
    finally:
        stack.remove()
    sys.stdout.write(json.dumps({**described(), **figures}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    raise SystemExit(main())
