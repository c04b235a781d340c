"""Fixtures of the browser tests: one installation of real processes and one browser per session.

The fixture `owner` goes through the first-run setup once; the tests share its account.
"""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.chromium import launched, read_failures
from tests.e2e.stack import Stack

EMAIL, PASSWORD = "owner@example.org", "correct horse battery"


class Target:
    """A site on the loopback that answers every request with `status`: 200 until a test changes it."""

    def __init__(self) -> None:
        target = self
        self.status = 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"Welcome" if target.status == 200 else b"out of order"
                self.send_response(target.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    found = Target()
    yield found
    found.close()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    found = Stack()
    found.start()
    yield found
    found.remove()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


class Owner:
    """The first account: its browser state, addresses of its check and project, and the duration of the setup."""

    def __init__(self, state: Any, check: str, project: str, took_s: float) -> None:
        self.state, self.check, self.project, self.took_s = state, check, project, took_s


@pytest.fixture(scope="session")
def owner(browser: Browser, stack: Stack, target: Target) -> Owner:
    """Create the account and the first check by keyboard alone, and wait until the check is up."""
    context = browser.new_context(base_url=stack.url)
    page = context.new_page()
    failures = read_failures(page)
    began = time.monotonic()
    page.goto("/")

    def type_into(name: str, text: str) -> None:
        page.wait_for_function("name => document.activeElement.name === name", arg=name)
        page.keyboard.type(text)

    type_into("email", EMAIL)
    page.keyboard.press("Tab")
    type_into("password", PASSWORD)
    page.keyboard.press("Enter")
    type_into("url", target.url)
    page.keyboard.press("Enter")
    page.wait_for_url("**/checks/new/?url=*")
    page.locator("[name=interval_s]").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("5")
    page.keyboard.press("Enter")
    page.wait_for_url("**/checks/*-*/")
    page.locator(".headline .mark.is-up").wait_for(timeout=40_000)
    took_s = time.monotonic() - began
    check = page.url
    page.goto("/")
    project = page.url
    state = context.storage_state()
    context.close()
    assert failures == []
    return Owner(state, check, project, took_s)


@pytest.fixture
def context(browser: Browser, stack: Stack, owner: Owner) -> Iterator[BrowserContext]:
    """Yield a browser context that is signed in as the owner."""
    found = browser.new_context(base_url=stack.url, storage_state=owner.state)
    found.set_default_timeout(15_000)
    yield found
    found.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    found = context.new_page()
    failures = read_failures(found)
    go = found.goto

    def goto(address: str) -> Any:
        """Open the address and wait until the page's scripts have started, so that they handle keys and clicks."""
        answer = go(address)
        found.locator("html[data-ready]").wait_for(state="attached")
        return answer

    found.goto = goto  # type: ignore[method-assign, assignment]  # replaced for this page only
    yield found
    assert failures == []
