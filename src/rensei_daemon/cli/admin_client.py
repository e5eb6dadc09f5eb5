"""How the `platform` commands reach a local platform that runs: its laboratory door."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx

from rensei_daemon.cli.own_program import source
from rensei_daemon.errors import RenseiError, TransientError, UsageError

_TIMEOUT_SECONDS = 10.0


def named_value(text: str) -> tuple[str, str]:
    """Return the name and the value of NAME=VALUE, NAME=@FILE or NAME=-.

    A file, or standard input for `-`, loses one final newline. Raises UsageError.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError("a credential is given as NAME=VALUE, NAME=@FILE or NAME=-")
    if value != "-" and not value.startswith("@"):
        return name, value
    where = "standard input" if value == "-" else value[1:]
    try:
        raw = sys.stdin.buffer.read() if value == "-" else Path(where).read_bytes()
        return name, raw.decode().removesuffix("\n")
    except OSError as error:
        raise UsageError(f"{where} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8") from None  # the cause holds the value


def require_local_platform() -> None:
    """Raise UsageError unless the packages of the local platform are installed."""
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the local platform needs {' and '.join(missing)}: not installed",
            hint=f"in an environment of its own: pip install '{source()}[local-platform]'",
        )


def ask(url: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST `body` to /lab/`what` of the platform at `url`, and return its answer.

    Raises TransientError when none answers there, and RenseiError when it refuses.
    """
    try:
        with httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            response = client.post(f"{url.rstrip('/')}/lab/{what}", json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TransientError(
            f"no local platform answers at {url}",
            hint="start it: rensei-daemon platform serve",
        ) from error
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise TransientError(
            f"what answers at {url} is not a local platform", hint="is --url right?"
        )
    if response.is_error:
        detail = str(answer.get("error", "no reason given"))
        raise RenseiError(
            detail, hint=f"see what there is: curl {url.rstrip('/')}/lab/state"
        )
    return answer
