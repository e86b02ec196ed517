"""A person's browser: the system's Chromium, without a window, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser; the test is skipped, by name, where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"NO BROWSER: none of {', '.join(NAMES)} is installed (scripts/install_chromium.sh)")
    playwright = pytest.importorskip("playwright.sync_api", reason="NO PLAYWRIGHT: pip install 'chimera-batch[slow]'")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield started
        finally:
            started.close()


@dataclass
class Tab:
    """One open page, and all that it said, asked or tried that a quiet page does not."""

    page: Any
    heard: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def ask(self, script: str) -> Any:
        return self.page.evaluate(script)

    def until(self, condition: str) -> None:
        """Wait for a condition in JavaScript. Playwright's own wait evaluates texts, which the policy refuses."""
        look = f"const look = () => (({condition}) ? done() : setTimeout(look, 5)); look();"
        self.ask(f"() => new Promise((done) => {{ {look} }})")

    def type(self, words: str) -> str:
        """Search; returns the count."""
        before = self.ask("document.documentElement.dataset.filtered || '0'")
        self.page.fill("#search", words)
        self.until(f"(document.documentElement.dataset.filtered || '0') !== '{before}'")
        return self.text("#count")


@contextmanager
def opened(browser: Any, path: Path, **options: Any) -> Iterator[Tab]:
    """A page from a file. ``options``: of the context, such as color_scheme and viewport."""
    context = browser.new_context(**options)
    try:
        tab = Tab(context.new_page())
        tab.page.on("console", lambda message: tab.heard.append(f"console {message.type}: {message.text}"))
        tab.page.on("pageerror", lambda error: tab.heard.append(f"error: {error}"))
        tab.page.on("dialog", lambda dialog: (tab.heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.page.on("request", lambda one: tab.heard.append(one.url) if not one.url.startswith("file:") else None)
        tab.page.goto(path.as_uri())
        yield tab
    finally:
        context.close()
