"""Take the screenshots of the README from the demo: `make screenshots`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.chromium import launched
from tests.e2e.stack import ROOT, Stack, eventually

FOLDER = ROOT / "docs/pictures"
SIZE: Any = {"width": 1280, "height": 800}


def signed_in(browser: Browser, stack: Stack, scheme: Any) -> Page:
    found = re.search(r"as (\S+) with the password (\S+)", stack.log.read_text(errors="replace"))
    assert found is not None
    page = browser.new_context(base_url=stack.url, viewport=SIZE, color_scheme=scheme).new_page()
    page.goto("/sign-in/")
    page.get_by_label("E-mail").fill(found[1])
    page.get_by_label("Password").fill(found[2])
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/projects/**")
    return page


def shot(page: Page, name: str) -> None:
    page.wait_for_timeout(1_500)
    page.screenshot(path=FOLDER / f"{name}.png")
    sys.stdout.write(f"docs/pictures/{name}.png\n")


def main() -> int:
    FOLDER.mkdir(exist_ok=True)
    stack = Stack(with_demo=True)
    try:
        stack.start()
        eventually(lambda: "with the password" in stack.log.read_text(errors="replace"), 120)
        with sync_playwright() as playwright:
            browser = launched(playwright)
            light, dark = signed_in(browser, stack, "light"), signed_in(browser, stack, "dark")
            home = light.url
            light.locator("li.band.is-down").nth(1).wait_for(timeout=90_000)
            shot(light, "overview")
            light.get_by_role("link", name=re.compile("^Incident of Checkout")).click()
            light.get_by_role("button", name="Acknowledge").click()
            light.get_by_label("Comment").fill("The payment gateway answers again; watching.")
            light.get_by_role("button", name="Comment").click()
            shot(light, "incident")
            light.goto(f"{home}checks/new/?url=http://127.0.0.1:8899/search")
            light.get_by_role("button", name="Test now").click()
            light.locator("#trial .badge.is-up").wait_for(timeout=15_000)
            shot(light, "new-check")
            light.goto("/status/demo/")
            shot(light, "status")
            dark.goto(f"{home}checks/?q=public")
            dark.locator("a[data-open]").first.click()
            dark.get_by_role("link", name="7d").click()
            shot(dark, "check")
            browser.close()
    finally:
        stack.remove()
    return 0


if __name__ == "__main__":
    assert Path.cwd() == ROOT, "run it from the project's folder"
    raise SystemExit(main())
