"""Make the pictures of the console that the documentation shows: `make screenshots`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

CHECKOUT = Path(__file__).parents[2]
sys.path.append(str(CHECKOUT / "tests/support"))
from chromium import chromium  # noqa: E402
from console_browser import PASSWORD, set_password  # noqa: E402
from console_world import fill  # noqa: E402
from platform_server import OWNER, Server, running, sqlite_url  # noqa: E402

SIZE = {"width": 1180, "height": 760}


async def main(target: Path) -> None:
    """Fill a server, and take a picture of each page."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        async with running(sqlite_url(directory), directory / "key") as server:
            await set_password(server)
            worker = await fill(server)
            async with chromium() as browser:
                await _shoot(browser, server, worker.host_id, target)


async def _shoot(browser: Any, server: Server, host_id: str, target: Path) -> None:
    rotated = (await server.ok("GET", "/api/admin/rotations"))["rotations"][0]["id"]
    pages = {
        "hosts": "hosts",
        "host": f"hosts/{host_id}",
        "credentials": "credentials",
        "rotation": f"rotations/{rotated}",
        "audit": "audit",
        "access": "access",
    }
    context = await browser.new_context(base_url=server.url, viewport=SIZE)
    page = await context.new_page()
    await page.goto("/console/sign-in")
    await page.fill("#email", OWNER)
    await page.fill("#password", PASSWORD)
    await page.press("#password", "Enter")
    await page.wait_for_url("**/console/hosts")
    for name, path in pages.items():
        await page.goto(f"/console/{path}")
        await page.screenshot(path=target / f"console-{name}.png")
    await context.close()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKOUT / "docs/img"
    anyio.run(main, chosen)
