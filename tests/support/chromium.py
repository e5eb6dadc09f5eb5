"""A real Chromium, driven by Playwright; both are there if `needs` says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import util
from pathlib import Path
from typing import Any

PROGRAMS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
"""Debian's, the one without windows first: it takes a quarter less of a processor."""

_DISABLED = (
    # Each new window would load pages of the browser's own, for what is typed into its
    # address line: half a second of a processor.
    "WebUIOmniboxAimPopup",
    "WebUIOmniboxPopup",
    # What Playwright disables, whose list this one replaces.
    "AimEnabled",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsFirstBalancedModeAutoEnable",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)


def is_there() -> bool:
    """Whether a browser is installed, and what drives it."""
    return any(program.exists() for program in PROGRAMS) and all(
        util.find_spec(name) for name in ("playwright", "axe_playwright_python")
    )


def executable() -> Path:
    """Return the program of the browser that is installed."""
    return next(program for program in PROGRAMS if program.exists())


def axe_script() -> str:
    """Return axe-core, which finds what keeps people from using a page."""
    spec = util.find_spec("axe_playwright_python")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("axe.min.js").read_text(encoding="utf-8")


@asynccontextmanager
async def chromium() -> AsyncIterator[Any]:
    """Lend a running browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable(),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--renderer-process-limit=1",  # keeps none in reserve: it costs to start
                f"--disable-features={','.join(_DISABLED)}",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()
