"""Launch Chromium for the browser tests and the screenshots: Debian's, or the executable named by BROWSER."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]


def launched(playwright: Playwright) -> Browser:
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("BROWSER") or next((found for name in names if (found := shutil.which(name))), None)
    assert path, "No Chromium: install Debian's package chromium, or name a browser with BROWSER="
    return playwright.chromium.launch(executable_path=path, args=_FLAGS)


def read_failures(page: Page) -> list[str]:
    """Return a list that collects the page's console errors and warnings and its uncaught exceptions from now on."""
    failures: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            failures.append(f"{page.url}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: failures.append(f"{page.url}: {error}"))
    return failures
