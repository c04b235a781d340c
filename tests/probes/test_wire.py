from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from apps.probes import wire
from apps.probes.reasons import Reason, Verdict
from tests.signed import signed

KEY, OTHER = wire.new_region_key(), wire.new_region_key()
CHECK = "0b8a5a1e-6f0e-4c43-9d9a-0c7f6f7f0001"
RUN = wire.Run(
    uuid.UUID(CHECK), 3, 1_700_000_000_000, 1_700_000_000_002, 12, Verdict.DOWN, Reason.HTTP_STATUS, "[status] (500)", {"a": [1]}
)


def test_sealed_options_open_for_their_check_revision_and_region_alone() -> None:
    given: dict[str, Any] = {"region_key": KEY, "check": CHECK, "revision": 3, "region": "eu"}
    sealed = wire.seal({"headers": {"Authorization": "x"}}, **given)
    assert wire.unseal(sealed, **given) == {"headers": {"Authorization": "x"}}
    for change in ({"region_key": OTHER}, {"check": "other"}, {"revision": 4}, {"region": "us"}):
        with pytest.raises(wire.WireError):
            wire.unseal(sealed, **{**given, **change})
    with pytest.raises(wire.WireError):
        wire.unseal("not base64!", **given)


def test_a_job_has_its_secrets_opened() -> None:
    sealed = wire.seal({"body": "s"}, region_key=KEY, check=CHECK, revision=3, region="eu")
    raw = {
        "check": CHECK,
        "revision": 3,
        "slot": 5,
        "kind": "http",
        "target": "t",
        "options": {"method": "POST", "sealed": sealed},
        "timeout_ms": 9,
        "later": 1,
    }
    job = wire.parse_job(raw, region_key=KEY, region="eu")
    assert (job.options, job.slot, job.trial) == ({"method": "POST", "body": "s"}, 5, None)


def test_a_trial_is_a_job_without_check_and_slot() -> None:
    job = wire.parse_job(
        {"trial": "t1", "kind": "tcp", "target": "a:1", "options": {}, "timeout_ms": 9}, region_key=KEY, region="eu"
    )
    assert (job.trial, job.slot) == ("t1", 0)


@pytest.mark.parametrize(
    "raw", [{}, {"check": CHECK}, {"check": CHECK, "options": 3, "slot": 1, "kind": "", "target": "", "timeout_ms": "x"}]
)
def test_a_malformed_job_is_a_wire_error(raw: dict[str, Any]) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_job(raw, region_key=KEY, region="eu")


def test_a_run_survives_the_way() -> None:
    assert wire.parse_run(wire.encode_run(RUN)) == RUN


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else 1


@pytest.mark.parametrize(
    "change",
    [
        {"check": "x"}, {"check": None}, {"verdict": "great"}, {"slot": -1}, {"slot": 1.5}, {"slot": True}, {"slot": 2**64}, {"slot": float("nan")},
        {"duration_ms": 2**31}, {"revision": "1"}, {"reason": {"code": "bad_luck"}}, {"reason": {"code": "http_status", "message": "a\0b"}},
        {"reason": {"code": "http_status", "message": "\ud800"}}, {"reason": {"code": "http_status", "message": "x" * 2_001}}, {"reason": []},
        {"facts": []}, {"facts": {"a": "\0"}}, {"facts": {"a": ["\udfff"]}}, {"facts": {"\0": 1}}, {"facts": {"a": float("inf")}},
        {"facts": {"a": "x" * 70_000}}, {"facts": nested(20)},
    ],
)  # fmt: skip
def test_a_poisoned_row_is_a_wire_error(change: dict[str, Any]) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_run(json.dumps({**json.loads(wire.encode_run(RUN)), **change}).encode())


def test_a_signature_is_of_one_body_and_one_key() -> None:
    envelope = wire.parse_envelope(signed(b'{"type":"runs"}', region="eu", key=KEY, sent_at=5))
    assert envelope.is_signed_with(KEY)
    assert not envelope.is_signed_with(OTHER)
    genuine = json.loads(signed(b'{"type":"runs"}', region="eu", key=KEY, sent_at=5))
    changes = {"body": '{"type":"runs" }', "sent_at": 6, "sequence": 9, "worker": "another", "region": "us"}
    for name, value in changes.items():
        forged = wire.parse_envelope(json.dumps({**genuine, name: value}).encode())
        assert not forged.is_signed_with(KEY), name


def test_a_trial_s_answer_survives_the_way() -> None:
    trial, run = wire.parse_trial_answer(wire.encode_trial_answer(CHECK, RUN).decode())
    assert (trial, run.verdict, run.message, run.facts) == (RUN.check, RUN.verdict, RUN.message, RUN.facts)


def test_a_job_survives_the_way_with_its_attempts_and_secrets() -> None:
    for trial in (None, CHECK):
        job = wire.Job(CHECK, 0, 0 if trial else 5, "http", "t", {"method": "GET"}, 9, trial=trial, retries=3, tenant="ab")
        encoded = wire.encode_job(job, secrets={"body": "s"}, region_key=KEY, region="eu")
        parsed = wire.parse_job(json.loads(json.dumps(encoded)), region_key=KEY, region="eu")
        assert parsed == wire.Job(**{**vars(job), "options": {"method": "GET", "body": "s"}})


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        {},
        {"v": 1},
        {"v": 2, "region": "a"},
        {"v": 2, "region": "a", "key_id": "b", "worker": "w", "sequence": 1, "body": "\ud800", "mac": "d", "sent_at": 1},
        {"v": 2, "region": "a\0", "key_id": "b", "worker": "w", "sequence": 1, "body": "", "mac": "d", "sent_at": 1},
    ],
)
def test_what_is_no_envelope_is_a_wire_error(raw: Any) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_envelope(json.dumps(raw).encode())


@pytest.mark.parametrize("body", ["", "{", "[]", '{"type": "party"}', "[" * 100_000])
def test_what_is_no_body_is_a_wire_error(body: str) -> None:
    with pytest.raises(wire.WireError):
        wire.parse_body(body)
