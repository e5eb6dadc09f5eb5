"""The daemon with one worker thread, so that a tracer meets the same calls in each run."""

from typing import Any

import anyio.to_thread

from rensei_daemon import daemon
from rensei_daemon.cli.main import main

_run = vars(daemon)["run"]


async def run_with_one_worker(*arguments: Any, **options: Any) -> None:
    """Run the daemon as ever, but let its threads take turns."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = 1
    await _run(*arguments, **options)


if __name__ == "__main__":
    vars(daemon)["run"] = run_with_one_worker
    main(["run"])
