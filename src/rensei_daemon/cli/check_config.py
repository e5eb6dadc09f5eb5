"""Checks a configuration file; `cli.config` has the command line of this.

Imports what a check needs, and nothing of the commands beside it: files are checked by
scripts, many at a time.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rensei_daemon.cli.config_file import read_config
from rensei_daemon.cli.terminal import clean, clean_lines, tolerate
from rensei_daemon.core.document import Document
from rensei_daemon.disk.config_text import READ_BYTES, decode_config
from rensei_daemon.errors import Problem, SettingsError
from rensei_daemon.locations import Locations, absolute, locate
from rensei_daemon.settings.advisories import advisories
from rensei_daemon.settings.fitting import FittingValidator
from rensei_daemon.settings.host_checks import files_in_the_way
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources
from rensei_daemon.settings.texts import refuse_blank

_STDIN = Path("<stdin>")


def check(config: Path | None, file: Path | None, *, as_json: bool) -> int:
    """Check `file`, or that of this host; print what is found and return the exit code.

    Raises `SettingsError` if there is more to say than that a file is invalid.
    """
    located = locate(environ=os.environ, uid=os.getuid(), config=config)
    # Not located as the default is: that would read the text from a pipe.
    path = located.config
    if file is not None:
        path = _STDIN if file == Path("-") else absolute(file)
    try:
        notes, refused = _check(path, located), None
    except SettingsError as error:
        notes, refused = [], error
    tolerate(sys.stdout)
    if as_json:
        print(json.dumps(_verdict(path, notes, refused), indent=2))
    elif refused is None:
        for sentence in notes:
            print(clean_lines(f"{path}: note: {sentence}"), file=sys.stderr)
        print(f"{clean(path)}: ok")
    elif refused.problems:
        # Plain lines, so that an editor can jump to file:line:column.
        print(clean_lines(str(refused)), file=sys.stderr)
    else:
        raise refused
    return refused.exit_code if refused else 0


def _check(path: Path, located: Locations) -> list[str]:
    """Return what deserves a second look; raise SettingsError for an unusable file."""
    # Groups and environment may be those of another host.
    is_own = path == located.config
    if path == _STDIN:
        text = decode_config(sys.stdin.buffer.read(READ_BYTES), path)
    else:
        text = read_config(path, accepts_pipe=not is_own)
    refuse_blank(text, path=path)
    sources = Sources(
        path=path, runtime=located.runtime, state=located.state, environ=os.environ
    )
    validator = FittingValidator(sources, LocalValidator(sources))
    settings = validator.load(Document(text), on_host=is_own)
    notes = [*advisories(settings)]
    if is_own:
        notes += files_in_the_way(settings, located)
    if settings.platform.is_placeholder:
        notes.append("platform.url is not set")
    return notes


def _verdict(
    path: Path, notes: Sequence[str], refused: SettingsError | None
) -> dict[str, Any]:
    problems: Sequence[Problem] = refused.problems if refused else ()
    if refused and not problems:
        message = str(refused).removeprefix(f"{path}: ")
        problems = [Problem(message=message, hint=refused.hint, file=str(path))]
    items = list(map(_item, problems))
    return {"path": str(path), "valid": not items, "problems": items, "notes": list(notes)}


def _item(problem: Problem) -> Mapping[str, Any]:
    return {
        "message": problem.message,
        "hint": problem.hint or None,
        "key": problem.key,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
    }
