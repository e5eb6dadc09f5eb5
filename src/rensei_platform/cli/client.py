"""The HTTP API as the administration commands use it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import httpx

from rensei_platform.cli.output import waiting_for
from rensei_platform.errors import PlatformError, RequestError, SettingsError

URL_VARIABLE = "RENSEI_PLATFORM_URL"
KEY_FILE_VARIABLE = "RENSEI_PLATFORM_KEY_FILE"
_TIMEOUT_SECONDS = 30.0
_LONGEST_KEY = 4096
_LONGEST_MESSAGE = 2048


class AnswerError(PlatformError):
    """The control plane does not answer as it should."""

    exit_code = 69


class RefusedError(RequestError):
    """The control plane refused what it was asked."""

    def __init__(self, http_status: int, message: str) -> None:
        super().__init__(f"HTTP {http_status}: {message}", hint=_HINTS.get(http_status, ""))
        self.exit_code = 77 if http_status in (401, 403) else 69


_HINTS = {
    401: "Check the key file; `rensei-platform init --recover` replaces a lost key.",
    403: "Ask an owner or admin of the organization.",
    429: "Wait a minute; too many wrong keys came from this address.",
    503: "Try again; `rensei-platform doctor` on the server shows what is wrong.",
}


@dataclass(frozen=True, slots=True)
class Client:
    """The control plane at a URL, asked with a key."""

    url: str
    key: str = field(repr=False)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return the answer's JSON object. A list in `query` repeats its name.

        What is None or false in `query` is left out.

        Raise RefusedError if it is refused, AnswerError if no answer of ours comes.
        """
        given = (
            (name, value)
            for name, value in (query or {}).items()
            if value is not None and value is not False
        )
        params = {
            name: [str(one) for one in value] if isinstance(value, list) else str(value)
            for name, value in given
        }
        try:
            with (
                waiting_for("waiting for the control plane"),
                httpx.Client(
                    trust_env=False,
                    timeout=_TIMEOUT_SECONDS,
                    # Without TLS nothing is verified; the authorities take 14 ms to read.
                    verify=not self.url.startswith("http://"),
                ) as http,
            ):
                answer = http.request(
                    method,
                    self.url.rstrip("/") + path,
                    json=body,
                    params=params,
                    headers={"authorization": f"Bearer {self.key}"} if self.key else {},
                )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AnswerError(
                f"cannot reach the control plane at {_public(self.url)}: {error}",
                hint=f"Check --url or {URL_VARIABLE}.",
            ) from error
        except ValueError as error:  # which names the place, and no more of it
            raise click.UsageError(f"an argument cannot be sent: {error}") from None
        return _content(answer)


def _public(url: str) -> str:
    """Return a URL without the user and password that may stand in it."""
    scheme, separator, rest = url.rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _content(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise AnswerError(
            f"the answer is not the control plane's: HTTP {answer.status_code}"
        )
    if answer.is_success:
        return content
    message = str(content.get("error") or content.get("reason") or "refused")
    raise RefusedError(answer.status_code, message[:_LONGEST_MESSAGE])


def path(*segments: str) -> str:
    """Return a path of these segments, with whatever is in them escaped."""
    return "/" + "/".join(
        quote(segment, safe="", errors="surrogateescape") for segment in segments
    )


def uses_client(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--url`, `--key-file` and `--json`, and a Client of the first two."""

    @wraps(command)
    def run(url: str, key_file: Path, **options: object) -> None:
        command(client=Client(url, read_key(key_file)), **options)

    for option in (_json_option, _key_file_option, url_option):
        run = option(run)
    return run


def not_empty(
    _context: click.Context, _option: click.Parameter, value: str | None
) -> str | None:
    """Refuse an option whose text is empty, as of an unset variable: it would mean all."""
    if value == "":
        raise click.BadParameter("it is empty; leave it out if all are meant.")
    return value


url_option = click.option(
    "--url",
    envvar=URL_VARIABLE,
    required=True,
    show_envvar=True,
    help="Address of the control plane.",
)
_key_file_option = click.option(
    "--key-file",
    envvar=KEY_FILE_VARIABLE,
    required=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File with an API key in it.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def read_key(file: Path) -> str:
    """Return the key in a file. Raise SettingsError if there is none."""
    try:
        with file.open(encoding="ascii") as opened:
            key = opened.read(_LONGEST_KEY).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise SettingsError(f"cannot read the key file {file}: {reason}") from None
    if not key or not key.isprintable() or " " in key:
        raise SettingsError(f"the key file {file} does not hold one key")
    return key
