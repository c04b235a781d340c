"""How quick pages and lists are with ten thousand checks and five million runs: `python -m benchmarks.faces`. JSON out.

Seeds an installation of its own (processes of `manage.py up`, the checks' region switched off), then asks each page over HTTP, one request after another, as one signed-in person.
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
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from tests.e2e.stack import ROOT, Stack

REQUESTS = 200


def seed(count: int, runs: int) -> None:
    """Inside the installation's Django: checks of one project, and their past."""
    import random
    import uuid
    from datetime import timedelta

    from django.db import transaction
    from django.utils import timezone

    from apps.core.clock import to_ms
    from apps.incidents.machine import State, next_slot
    from apps.incidents.models import CheckState
    from apps.incidents.rows import policy_of, write_state
    from apps.monitors.models import Check, Region, Resource
    from apps.monitors.schedule import phase_of
    from apps.monitors.services import CheckSpec, judge_spec, next_revision_start
    from apps.orgs.models import Project
    from apps.pipeline.demo.history import Past, seed_rollups, seed_runs, seed_states
    from apps.pipeline.demo.plan import outages
    from apps.results.models import RollupCursor

    project = Project.objects.get()
    now = timezone.now()
    start = now - timedelta(minutes=runs // count)
    chance = random.Random(3)
    spec = CheckSpec(name="x", kind="http", target="http://127.0.0.1:1/", options={}, interval_s=60, regions=("local",))
    fields = vars(judge_spec(spec))
    Region.objects.update(is_enabled=False)  # nothing is probed: it is the pages that are measured
    with transaction.atomic():
        since = next_revision_start(now=now)
        owner: dict[str, Any] = {"organization_id": project.organization_id, "project": project}
        resources = Resource.objects.bulk_create(
            [Resource(name=f"service {n:05}", **owner) for n in range(count)], batch_size=2_000
        )
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
        Check.objects.bulk_create(checks, batch_size=2_000)
        CheckState.objects.bulk_create(states, batch_size=2_000)
    span = (to_ms(start), to_ms(now))
    wide = span[1] - span[0] > 8 * 3_600_000
    pasts = [
        Past(
            c, chance.randrange(20, 400), outages(chance, number=int(wide and chance.random() < 0.2), start=span[0], end=span[1])
        )
        for c in checks
    ]
    for part in range(0, count, 500):
        seed_runs(pasts=pasts[part : part + 500], start=start, until=now)
    with transaction.atomic():
        seed_states(pasts=pasts, start=start)
    for part in range(0, count, 1_000):
        seed_rollups(checks=[past.check.pk for past in pasts[part : part + 1_000]], start=start, until=now)
    # All of it is rolled up: the pipeline need not do it again while pages are measured.
    for kind, width in (("hour", 3_600_000), ("day", 86_400_000)):
        RollupCursor.objects.update_or_create(span=kind, defaults={"done_until": to_ms(now) // width * width, "after": None})


class Person:
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


def measure(person: Person, path: str) -> dict[str, Any]:
    person.get(path)
    taken, size = [], 0
    for _ in range(REQUESTS):
        began = time.perf_counter()
        size = len(person.get(path))
        taken.append((time.perf_counter() - began) * 1000)
    taken.sort()
    return {"p50_ms": round(statistics.median(taken), 1), "p99_ms": round(taken[int(len(taken) * 0.99) - 1], 1), "bytes": size}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5_000_000)
    parser.add_argument("--seed", action="store_true", help="inside the installation")
    arguments = parser.parse_args()
    if arguments.seed:
        import django

        django.setup()
        seed(arguments.checks, arguments.runs)
        return 0
    stack = Stack()
    try:
        stack.start()
        stack.bootstrap()
        began = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "benchmarks.faces",
            "--seed",
            "--checks",
            str(arguments.checks),
            "--runs",
            str(arguments.runs),
        ]
        environment = {**stack.environment, "DJANGO_SETTINGS_MODULE": "goruptime.settings"}
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        seeded_s = time.monotonic() - began
        time.sleep(20)  # the statistics of what was written, by the server itself
        person = Person(stack)
        person.sign_in("owner@example.org", "correct horse")
        home, checks = f"/projects/{stack.project}/", stack.get("checks/?limit=1")["results"]
        one = f"/checks/{checks[0]['id']}/"
        pages = {
            "overview": home, "resources": f"{home}resources/", "resources, page 100": f"{home}resources/?page=100",
            "checks": f"{home}checks/", "checks by name, page 100": f"{home}checks/?sort=name&page=100",
            "checks, search": f"{home}checks/?q=check+0123", "incidents": f"{home}incidents/", "check": one,
            "check, 7 days": f"{one}latency.json?range=7d", "check, 90 days": f"{one}latency.json?range=90d",
        }  # fmt: skip
        figures = {name: measure(person, path) for name, path in pages.items()}
        sys.stdout.write(
            json.dumps(
                {
                    **described(),
                    "checks": arguments.checks,
                    "runs": arguments.runs,
                    "seeded_s": round(seeded_s),
                    "pages": figures,
                },
                indent=1,
            )
            + "\n"
        )
        return 0
    finally:
        stack.remove()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "goruptime.settings")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    raise SystemExit(main())
