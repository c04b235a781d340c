from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apps.core.clock import to_ms
from apps.monitors.check_spec import CheckSpec, validate_spec
from apps.orgs.actors import SYSTEM
from apps.orgs.models import Role
from apps.orgs.services import create_api_key
from apps.pipeline.ingest import Memory, ingest
from apps.results.models import CheckRun, DeadLetter, Trial, TrialAnswer
from apps.results.trials import is_over, prune_trials, start_trial
from tests.conftest import NOW, Api, Cast
from tests.signed import signed

BODY = {"verdict": "up", "reason": None, "duration_ms": 12, "facts": {"status": 200}}


@pytest.fixture
def trial(cast: Cast) -> Trial:
    spec = CheckSpec(
        name="t",
        kind="http",
        target="http://127.0.0.1:1/",
        options={"headers": {"Authorization": "Bearer x"}},
        regions=("eu", "us"),
    )
    return start_trial(actor=SYSTEM, project=cast.project, fields=validate_spec(spec), now=NOW)


def answer(cast: Cast, trial: Trial, region: str = "eu", **changes: Any) -> None:
    row = cast.regions[region]
    body = json.dumps({"type": "trial", "trial": str(trial.id), **BODY, **changes}).encode()
    ingest(signed(body, region=region, key=row.key, sent_at=to_ms(NOW)), memory=Memory(), now=NOW)


def test_it_is_sent_once_it_is_committed(
    cast: Cast, django_capture_on_commit_callbacks: Any, woken: list[tuple[str, dict[str, Any]]]
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        spec = CheckSpec(name="t", kind="tcp", target="127.0.0.1:1", options={})
        trial = start_trial(actor=SYSTEM, project=cast.project, fields=validate_spec(spec), now=NOW)
    assert woken == [("pipeline.dispatch_trial", {"trial": str(trial.id)})]


def test_answers_are_kept_once_for_each_region_and_step_nothing(cast: Cast, trial: Trial) -> None:
    answer(cast, trial)
    answer(cast, trial, verdict="down", reason={"code": "connect_refused", "message": "no"})
    answer(cast, trial, region="us")
    assert [(a.region_id, a.verdict) for a in trial.answers.order_by("region_id")] == [
        (region.id, "up") for region in cast.regions.values()
    ]
    assert CheckRun.objects.count() == DeadLetter.objects.count() == 0


def test_an_answer_that_nobody_waits_for_is_dropped_and_a_wrong_one_is_a_letter(cast: Cast, trial: Trial) -> None:
    trial_id = trial.id
    Trial.objects.filter(pk=trial_id).update(region_ids=[cast.regions["us"].id])
    answer(cast, trial)
    assert TrialAnswer.objects.count() == DeadLetter.objects.count() == 0
    answer(cast, trial, region="us", verdict="splendid")
    assert DeadLetter.objects.count() == 1


def test_it_is_over_when_all_answered_or_will_not(cast: Cast, trial: Trial) -> None:
    answer(cast, trial)
    answers = list(trial.answers.all())
    assert not is_over(trial=trial, answers=answers, now=NOW)
    assert is_over(trial=trial, answers=answers, now=NOW + timedelta(seconds=trial.timeout_s + 6))
    answer(cast, trial, region="us")
    assert is_over(trial=trial, answers=list(trial.answers.all()), now=NOW)


def test_its_secrets_are_encrypted_at_rest_and_it_goes_after_an_hour(cast: Cast, trial: Trial) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT options::text FROM results_trial")
        assert "Bearer" not in cursor.fetchone()[0]
    prune_trials(now=NOW + timedelta(minutes=59))
    assert Trial.objects.exists()
    prune_trials(now=NOW + timedelta(minutes=61))
    assert not Trial.objects.exists()


def test_the_api_starts_one_and_tells_what_came(cast: Cast, api: Api) -> None:
    started = api("POST", "checks/trial/", {"name": "t", "kind": "tcp", "target": "127.0.0.1:1", "regions": ["eu"]})
    assert started.status_code == 202
    assert started.json()["answers"] == []
    answer(cast, Trial.objects.get(pk=started.json()["id"]))
    told = api("GET", f"checks/trial/{started.json()['id']}/").json()
    assert told["is_over"]
    assert told["answers"][0] == {"region": "eu", "verdict": "up", "reason": None, "latency_ms": 12, "facts": {"status": 200}}
    refused = api("POST", "checks/trial/", {"name": "t", "kind": "tcp", "target": "nonsense"})
    assert refused.json()["error"]["details"].keys() == {"target"}


def test_a_viewers_key_starts_none(cast: Cast) -> None:
    _, key = create_api_key(actor=SYSTEM, now=NOW, project=cast.project, name="v", role=Role.VIEWER)
    body = {"name": "t", "kind": "tcp", "target": "127.0.0.1:1"}
    assert Api(**{"X-API-Key": key})("POST", "checks/trial/", body).status_code == 403
