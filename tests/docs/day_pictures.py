"""Takes the pictures of docs/a-day.md: the console, as its operator sees it then."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from chromium import executable

PICTURES = Path(__file__).parents[2] / "docs/img"
SIZE = {"width": 1180, "height": 300}
"""As wide as a page of documentation; a picture is as high as what it shows."""
OWNER, PASSWORD = "ada@acme.test", "correct horse battery"


def _host(page: Any) -> None:
    page.goto("/console/hosts")
    page.click("text=build-02")


def _rotation(page: Any) -> None:
    page.goto("/console/credentials")
    page.click("text=Safe to revoke?")


_OPEN: dict[str, Callable[[Any], object]] = {
    "day-hosts": lambda page: page.goto("/console/hosts"),
    "day-host": _host,
    "day-credentials": lambda page: page.goto("/console/credentials"),
    "day-rotation": _rotation,
    "day-audit": lambda page: page.goto("/console/audit"),
}
"""How each picture's page is reached."""


class Camera:
    """A browser in which the operator of the recorded day is signed in."""

    def __init__(self, browser: Any, place: Path, url: str) -> None:
        """`place` is the directory of the day, where its first link lies."""
        link = re.search(r"rsl_live_[^\s]+", (place / "link").read_text())
        assert link is not None
        body = {"link": link[0], "password": PASSWORD}
        httpx.post(f"{url}/api/password", json=body, trust_env=False).raise_for_status()
        context = browser.new_context(base_url=url, viewport=SIZE)
        self._page = context.new_page()
        self._page.goto("/console/sign-in")
        self._page.fill("#email", OWNER)
        self._page.fill("#password", PASSWORD)
        self._page.press("#password", "Enter")
        self._page.wait_for_url("**/console/hosts")

    def take(self, name: str) -> None:
        """Take a picture."""
        _OPEN[name](self._page)
        self._page.wait_for_selector("#live:visible")
        self._page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@contextmanager
def running_browser() -> Iterator[Any]:
    """Lend a running Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()
