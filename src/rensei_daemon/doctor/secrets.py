"""Collects every secret of the daemon on this host, and finds them in texts.

The secrets are only compared. What leaves this module is their names.
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress

from rensei_daemon.core.file_content import FileFormat
from rensei_daemon.core.secret_encodings import SHORTEST, forms_of
from rensei_daemon.delivery.credential_reader import CredentialReader, first_values
from rensei_daemon.delivery.file_delivery import read_values
from rensei_daemon.doctor.api_key import every_key
from rensei_daemon.doctor.context import DoctorContext
from rensei_daemon.errors import ControlError

ANSWER_SECONDS = 2.0
_BY_LOOK = {
    "a key of the platform": re.compile(r"rs[kp]_live_[\w-]{8}", re.ASCII),
    "a URL with a password": re.compile(r"://[^/\s:@\[\]\"']+:[^/\s@\"']+@"),
}
"""API keys by their format: one that is not used here may still be valid."""


class Secrets:
    """The secrets of one daemon, by name; its repr shows none.

    A value of fewer than eight characters is not searched for: it would be found
    everywhere.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, str]],
        of_sessions: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Add (name, value) pairs; a value keeps the first name it gets.

        Those of sessions are kept apart: not every value of a session is a secret.
        """
        by_value: dict[str, str] = {}
        for name, value in named:
            by_value.setdefault(value, name)
        self._own = frozenset(by_value.values())
        for name, value in of_sessions:
            by_value.setdefault(value, name)
        self._forms = {
            name: tuple({form for form in forms_of(value) if len(form) >= SHORTEST})
            for value, name in by_value.items()
            if len(value) >= SHORTEST
        }

    def __repr__(self) -> str:
        """Show no value."""
        return f"Secrets({len(self._forms)} values)"

    def also_in(self, configuration: str) -> Iterator[tuple[str, int]]:
        """Yield (name, line) of each session value that a configuration contains.

        A region or a hostname may be in both and not be a secret.
        """
        for name, forms in self._forms.items():
            places = [configuration.find(form) for form in forms if form in configuration]
            if places and name not in self._own:
                yield name, configuration.count("\n", 0, min(places)) + 1

    def forget(self, names: Iterable[str]) -> None:
        """Stop searching for these: a person has said that they are not secrets."""
        for name in names:
            del self._forms[name]

    def found_in(self, text: str) -> list[str]:
        """Return the names of the secrets that a text contains, in any encoding."""
        known = [
            name
            for name, forms in self._forms.items()
            if any(form in text for form in forms)
        ]
        return known or [name for name, look in _BY_LOOK.items() if look.search(text)]


def gather_secrets(case: DoctorContext) -> Secrets:
    """Look up the key, the runtime token and every session's values.

    Raises `PermissionError` or a `RenseiError` if one cannot be read, because it could not
    be searched for.
    """
    keys = [(f"the API key of {place}", text) for place, text in every_key(case)]
    return Secrets([*keys, *_token(case)], [*_files(case), *_sessions(case)])


def _token(case: DoctorContext) -> Iterator[tuple[str, str]]:
    try:
        saved = json.loads(case.locations.token.read_bytes())
    except (FileNotFoundError, ValueError):
        return
    if isinstance(saved, dict) and isinstance(saved.get("token"), str):
        yield "the runtime token", saved["token"]


def _files(case: DoctorContext) -> Iterator[tuple[str, str]]:
    """Read the files of sessions, and the env files of former ones."""
    runtime = case.locations.runtime
    files = dict.fromkeys(runtime.glob("*.env"), FileFormat.ENV)
    if case.settings is not None:
        for session in case.settings.credentials.sessions:
            for file in session.all_files:
                files[runtime / file.path] = file.content.format
    for path, format_ in sorted(files.items()):
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            for name, value in read_values(path, format_).items():
                yield f"{name} of {path}", value


def _sessions(case: DoctorContext) -> Iterator[tuple[str, str]]:
    """Request the values of the running daemon, which may be in no file."""
    if not case.is_running:
        return
    if case.status is None:
        raise ControlError(
            "the daemon does not say which secrets it holds, so the bundle cannot be "
            "checked for them",
            hint=case.silence.hint if case.silence else "",
        )
    for session in case.status["sessions"]:
        if not session["generation"]:
            continue  # the session has no values yet
        session_id = session["id"]
        reader = CredentialReader(case.locations.credential_socket, session_id)
        with closing(reader):
            values = first_values(reader, wait_seconds=ANSWER_SECONDS)
        for name, value in values.items():
            yield f"{name} of session {session_id}", value
