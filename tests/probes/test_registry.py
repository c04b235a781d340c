"""Rules for every kind in the registry, and what a new kind gets from its entry there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from apps.api import schema_view
from apps.incidents.services.check_commands import create_check
from apps.monitors.check_spec import CheckSpec
from apps.net.address_policy import AddressPolicy
from apps.net.network import Network
from apps.orgs.actors import SYSTEM
from apps.probes import docs_generator, runner
from apps.probes.contract import Kind, OptionError, OptionField, Outcome, ProbeContext, RawOptions, stored_fields
from apps.probes.reasons import MEANINGS, Reason, Verdict
from apps.probes.registry import KINDS
from apps.probes.wire import Job
from tests.conftest import NOW, Api, Cast

EXAMPLE = "example.org"
every_kind = pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))


def target_of(kind: Kind) -> str:
    return kind.propose(EXAMPLE) or EXAMPLE


@every_kind
def test_a_kind_describes_each_of_its_options_and_no_other(kind: Kind) -> None:
    stored = kind.parse(target_of(kind), {}).stored()
    assert {field.name for field in kind.option_fields} == set(stored)
    assert set(kind.secret_options) | set(kind.routes) <= set(stored)
    assert kind.parse(target_of(kind), json.loads(json.dumps(stored))) == kind.parse(target_of(kind), {})
    for field in kind.option_fields:
        assert bool(field.choices) == (field.shape == "choice")
        assert not field.choices or stored[field.name] in dict(field.choices)


@every_kind
def test_its_example_can_be_used(kind: Kind) -> None:
    target, options = kind.example
    stored = kind.parse(target, options).stored()
    assert options
    assert {name: stored[name] for name in options} == dict(options)


@every_kind
def test_what_is_no_option_is_refused_by_its_name(kind: Kind) -> None:
    for name, value in (("colour", 1), *((field.name, {"a": object}) for field in kind.option_fields)):
        with pytest.raises(OptionError) as caught:
            kind.parse(target_of(kind), {name: value})
        assert caught.value.field.startswith("options.")


@every_kind
def test_rubbish_proposes_nothing_or_a_target_that_can_be_used(kind: Kind) -> None:
    for typed in ("", " ", "http://", "::", "a b", "ftp://x", "[", "x" * 3_000, "\x00", "☃", "user:pw@host", "1.2.3.4:99999"):
        target = kind.propose(typed)
        assert target is None or kind.parse(target, {}) is not None


@every_kind
def test_every_option_is_in_the_form_the_schema_and_the_handbook(kind: Kind, cast: Cast) -> None:
    alice = Client()
    alice.force_login(cast.alice)
    page = alice.get(f"/projects/{cast.project.pk}/checks/new/?kind={kind.name}&url={EXAMPLE}").content.decode()
    schema = Client().get("/api/v1/schema/?format=json").json()["components"]["schemas"]
    told = docs_generator.page().split(f"## `{kind.name}`")[1].split("\n## ")[0]
    assert set(schema[f"{kind.name.title()}Options"]["properties"]) == {field.name for field in kind.option_fields}
    assert kind.name in schema["NewCheckRequest"]["properties"]["kind"]["enum"]
    for field in kind.option_fields:
        assert f'name="{field.form_field or f"options.{field.name}"}"' in page
        assert f"| `{field.name}` |" in told


def test_every_reason_has_its_words() -> None:
    assert set(MEANINGS) == set(Reason)
    for meaning in MEANINGS.values():
        assert meaning.words
        assert meaning.advice.endswith(".")


# --- a new kind


@dataclass(frozen=True)
class Options:
    host: str
    greeting: str
    degraded_ms: int | None

    def stored(self) -> dict[str, Any]:
        return stored_fields(self, without=("host", "degraded_ms"))


def parse(target: str, raw: Mapping[str, Any]) -> Options:
    fields = RawOptions(raw)
    options = Options(target, fields.text("greeting", "hello", limit=20), fields.whole("degraded_ms", None, least=1, most=9))
    fields.end()
    return options


async def run(options: Options, _deadline: float, _scene: ProbeContext) -> Outcome:
    return Outcome(Verdict.UP, facts={"greeting": options.greeting})


PARROT = Kind(
    name="parrot", title="Parrot", parse=parse, run=run, asks="Name", proves="It repeats.", propose=lambda typed: typed or None,
    example=("polly", {"greeting": "hi"}),
    option_fields=(OptionField("greeting", "Greeting", help="What it says."),), secret_options=("greeting",),
)  # fmt: skip


def test_a_module_and_a_line_add_a_kind(monkeypatch: pytest.MonkeyPatch, cast: Cast, api: Api) -> None:
    monkeypatch.setitem(KINDS, PARROT.name, PARROT)
    monkeypatch.setattr(schema_view, "documents", {})  # another test may have had the schema generated
    test_every_option_is_in_the_form_the_schema_and_the_handbook(PARROT, cast)
    made = api("POST", "checks/", {"name": "polly", "kind": "parrot", "target": "polly", "options": {"greeting": "s3cret!"}})
    assert (made.status_code, made.json()["options"]) == (201, {"greeting": "••••••"})
    assert (
        "options.colour"
        in api("POST", "checks/", {"name": "p", "kind": "parrot", "target": "p", "options": {"colour": 1}}).json()["error"][
            "details"
        ]
    )
    create_check(actor=SYSTEM, project=cast.project, spec=CheckSpec("p", "parrot", "p", {}), resource=None, now=NOW)

    async def main() -> Any:
        network = Network(AddressPolicy())
        try:
            return await runner.run(Job("id", 1, 0, "parrot", "polly", {"greeting": "hi"}, 1_000), network, 0)
        finally:
            await network.close()

    assert asyncio.run(main()).outcome == Outcome(Verdict.UP, facts={"greeting": "hi"})
