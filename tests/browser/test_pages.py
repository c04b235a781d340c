"""Every page at three widths: no horizontal scroll, no console error and, except at 768 px, no axe violation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.chromium import read_failures
from tests.browser.conftest import Owner, Target
from tests.e2e.stack import ROOT, Stack

AXE = (ROOT / "node_modules/axe-core/axe.min.js").read_text()
PAGES = (
    "", "resources/", "checks/", "checks/new/", "checks/new/?url=example.org", "incidents/", "incidents/new/", "channels/",
    "channels/new/email/", "channels/new/webhook/", "regions/", "status-page/", "settings/", "settings/keys/new/", "new/",
)  # fmt: skip
CHECK_PAGES = ("", "edit/", "runs/", "delete/")
OPEN_PAGES = ("/sign-in/", "/password/reset/", "/password/reset/sent/", "/status/acme/", "/nothing/")


def broken_rules(page: Page) -> list[dict[str, Any]]:
    page.evaluate(AXE)
    found: list[dict[str, Any]] = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
    return [{"rule": rule["id"], "at": [node["html"][:160] for node in rule["nodes"][:3]]} for rule in found]


@pytest.fixture(scope="module")
def incident(browser: Browser, stack: Stack, owner: Owner, target: Target) -> str:
    """Publish the project's status page, open an incident by hand and return its address."""
    context = browser.new_context(base_url=stack.url, storage_state=owner.state)
    page = context.new_page()
    page.goto(f"{owner.project}status-page/")
    page.get_by_label("Address", exact=True).fill("acme")
    page.get_by_label("Published").check()
    page.get_by_role("button", name="Save").click()
    page.goto(f"{owner.project}incidents/new/")
    page.get_by_label("Title").fill("Seen by a person")
    page.get_by_role("button", name="Open incident").click()
    page.wait_for_url("**/incidents/*-*/")
    address = page.url
    context.close()
    return address


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (768, "light"), (1440, "light")])
def test_every_page_is_sound(browser: Browser, stack: Stack, owner: Owner, incident: str, width: int, scheme: Any) -> None:
    context = browser.new_context(
        base_url=stack.url, storage_state=owner.state, color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    failures = read_failures(page)
    addresses = [owner.project + part for part in PAGES] + [owner.check + part for part in CHECK_PAGES] + [incident, *OPEN_PAGES]
    found: dict[str, Any] = {}
    for address in addresses:
        page.goto(address)
        page.wait_for_load_state("networkidle") if "/checks/" in address and address == owner.check else None
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        rules = broken_rules(page) if width != 768 else []
        if overflow > 0 or rules:
            found[address.removeprefix(stack.url)] = {"overflow": overflow, "rules": rules}
    context.close()
    assert found == {}, json.dumps(found, indent=1)
    assert [failure for failure in failures if "/nothing/" not in failure] == []


def test_the_styleguide_is_for_development_alone(page: Page) -> None:
    answer = page.request.get("/styleguide/")
    assert answer.status == 404
