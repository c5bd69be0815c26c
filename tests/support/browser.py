"""Headless Chromium: pages as people see them, and every request that they make."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

ARGUMENTS = (
    *("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"),  # WebGL without a GPU
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    *("--disable-quic", "--disable-dev-shm-usage"),
)


@dataclass
class Visit:
    """A page that is open.

    Attributes:
        page: The page, as Playwright has it.
        requests: Addresses of all requests that the page has sent so far.
        blocked: Addresses of those that its own policy has held back.
        messages: What it has written to the console.
    """

    page: Any
    requests: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def note_failure(self, request: Any) -> None:
        """Note a request that failed; one that was never sent is none."""
        if request.failure == "csp":
            self.requests.remove(request.url)
            self.blocked.append(request.url)


def find_chromium() -> str:
    """Return the browser, or skip the test."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium")
    return found


@contextmanager
def visit(address: str | Path, *, width: int = 1280, height: int = 900) -> Iterator[Visit]:
    """Open a page in a browser of its own; skip the test where there is none.

    Args:
        address: An address, or an HTML file.
        width: Width of the window in pixels.
        height: Height of the window in pixels.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    address = address.resolve().as_uri() if isinstance(address, Path) else address
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else [])]
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=find_chromium(), args=arguments)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            seen = Visit(page)
            page.on("request", lambda request: seen.requests.append(request.url))
            page.on("requestfailed", seen.note_failure)
            page.on("console", lambda message: seen.messages.append(message.text))
            page.on("pageerror", lambda error: seen.messages.append(str(error)))
            page.goto(address)
            yield seen
        finally:
            browser.close()
