"""Validates the configuration in a process of its own, which ends with its answer.

The model and its library take 8 MiB and a third of a start. A daemon needs them only for a
text with something wrong or unusual in it (`settings.fitting`), so it never imports them: a
new interpreter does, which takes a seventh of a second.

It gets the text, paths and the variables of settings through a pipe; it has no environment,
and so no API key. One that does not answer in time is ended; it also ends by itself then,
and with the daemon. If it dies or hangs, `UncheckedError` is raised, and the text in force
stays.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rensei_daemon import __version__
from rensei_daemon.core.document import Document
from rensei_daemon.errors import Problem, SettingsError, UncheckedError
from rensei_daemon.process import die_with
from rensei_daemon.settings.building import UnfitError, plain, settings_of
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.values import Settings
from rensei_daemon.trimmed_imports import trim_imports
from rensei_daemon.version import difference

ANSWER_SECONDS = 60.0
"""For the largest file on a slow host; most take a fraction of a second."""

_START = """\
import gc, json, os, sys
gc.disable()
asked = json.load(sys.stdin.buffer)
sys.path[:] = asked["import from"]
from rensei_daemon.validation_process import answer_to
sys.stdout.buffer.write(answer_to(asked))
sys.stdout.buffer.flush()
os._exit(0)
"""
"""It lives for a moment. To look for garbage, and to finalize the interpreter, would be a
third of its time."""
_PROGRAM = (
    sys.executable,
    "-I",
    "-X",
    "utf8",
    *["-B"] * sys.dont_write_bytecode,
    "-c",
    _START,
)
_VARIABLES = "RENSEI_DAEMON_"
_KEPT = ("LD_LIBRARY_PATH",)
"""Variables that an interpreter may need; no other one is passed on."""


class ValidationProcess:
    """A `Validator` that has another process do it; its methods block."""

    def __init__(
        self,
        sources: Sources,
        *,
        program: Sequence[str] = _PROGRAM,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """`program` reads the question from its standard input, and writes the answer."""
        variables = sources.environ.items()
        self._sources = {
            "path": str(sources.path),
            "runtime": str(sources.runtime),
            "state": None if sources.state is None else str(sources.state),
            "environ": {n: v for n, v in variables if n.startswith(_VARIABLES)},
            "overrides": dict(sources.overrides),
        }
        self._program = list(program)
        self._seconds = seconds

    def load(self, document: Document, *, on_host: bool = False) -> Settings:
        """Return the settings in force for a text."""
        return _settings_in(self._ask("load", document.text, on_host=on_host))

    def accept(self, document: Document) -> Settings:
        """Return the settings of an edited text."""
        return _settings_in(self._ask("accept", document.text))

    def _ask(self, how: str, text: str, *, on_host: bool = False) -> bytes:
        asked = {
            "import from": sys.path,
            "how": how,
            "text": text,
            "on host": on_host,
            "daemon": os.getpid(),
            "seconds": self._seconds,
            **self._sources,
        }
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter
                self._program,
                input=json.dumps(asked).encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={n: os.environ[n] for n in _KEPT if n in os.environ},
                timeout=self._seconds,
                check=False,
            )
        except OSError as error:
            raise _unchecked(f"no process can be started: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise _late(self._seconds) from None
        if done.returncode:
            raise _unchecked(f"its process ended with {_ending(done.returncode)}")
        return done.stdout


def answer_to(asked: Mapping[str, Any]) -> bytes:
    """Return the answer of a process to a question; it has no other work."""
    die_with(asked["daemon"], within_seconds=asked["seconds"])
    trim_imports()

    sources = Sources(
        path=Path(asked["path"]),
        runtime=Path(asked["runtime"]),
        state=None if asked["state"] is None else Path(asked["state"]),
        environ=asked["environ"],
        overrides=asked["overrides"],
    )
    validator = LocalValidator(sources)
    try:
        document = Document(asked["text"])
        if asked["how"] == "accept":
            settings = validator.accept(document)
        else:
            settings = validator.load(document, on_host=asked["on host"])
    except SettingsError as error:
        return json.dumps({"refused": _told(error)}).encode()
    return json.dumps({"settings": plain(settings)}, default=str).encode()


def _told(error: SettingsError) -> dict[str, Any]:
    problems = [plain(problem) for problem in error.problems]
    return {"message": str(error), "hint": error.hint, "problems": problems}


def _settings_in(answer: bytes) -> Settings:
    """Return the settings of an answer, or raise the error that it holds."""
    try:
        found = json.loads(answer)
        if "refused" in found:
            raise _refusal(**found["refused"])
        return settings_of(found["settings"])
    except (ValueError, LookupError, TypeError, UnfitError):
        raise _unchecked("its process gave no usable answer") from None


def _refusal(
    message: str, hint: str, problems: Sequence[Mapping[str, Any]]
) -> SettingsError:
    found = [Problem(**problem) for problem in problems]
    return SettingsError(message, hint=hint, problems=found)


def _late(seconds: float) -> UncheckedError:
    return _unchecked(f"its process did not answer within {seconds:g} s")


def _unchecked(why: str) -> UncheckedError:
    """Return the error; if another version was installed, that is the likely reason."""
    changed = difference(__version__)
    return UncheckedError(
        f"the configuration could not be checked: {changed or why}",
        hint="systemctl restart rensei-daemon" if changed else "",
    )


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name
