r"""What a file of a session contains: which values, under which names, in which format.

=======  ==================================================================
format   content
=======  ==================================================================
`env`    `NAME="value"` as a shell and systemd read it; holds every value
`plain`  `NAME=value`, taken literally, as `docker --env-file` reads it
`json`   one object of texts
`yaml`   one mapping of texts, each name and value quoted
`dir`    a directory with a file for each name
=======  ==================================================================

A file that would lack a name it has to hold, or that cannot hold a value, is not written:
a worker would start with half of its credentials. Errors name the name, never the value.
"""

import json
import re
from collections.abc import Mapping
from enum import StrEnum

from rensei_daemon.core.credential import is_forbidden
from rensei_daemon.core.env_file import read_env_file, render_env_file
from rensei_daemon.core.rename import rename
from rensei_daemon.errors import DeliveryError
from rensei_daemon.fast_dataclass import dataclass, field

MOST_NAME_BYTES = 255
"""Limit of a file name in Linux; a key of YAML may have 1,024 characters."""

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_LINE_END = re.compile(r"[\r\n]")
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")
_YAML_ENTRY = re.compile(r'^("[A-Za-z0-9_.-]*+"): ("(?:[^"\\]++|\\.)*+")$', re.MULTILINE)
_YAML_ASTRAL = re.compile(r"\\(\\|U([0-9A-F]{8}))")


class FileFormat(StrEnum):
    """How a file holds a session's values."""

    ENV = "env"
    PLAIN = "plain"
    JSON = "json"
    YAML = "yaml"
    DIR = "dir"

    @property
    def consumer_kind(self) -> str:
        """The kind of consumer that such a file is."""
        return "directory" if self is FileFormat.DIR else f"{self}_file"


def is_key(name: str, format_: FileFormat) -> bool:
    """Whether a value may have this name in a file of this format.

    A file that sets variables must set none that would hijack a process.
    """
    if format_ in (FileFormat.ENV, FileFormat.PLAIN):
        return not is_forbidden(name)
    is_short = format_ is FileFormat.JSON or len(name) <= MOST_NAME_BYTES
    return is_short and _KEY.fullmatch(name) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileContent:
    """The format of a file, and the values in it."""

    format: FileFormat = FileFormat.ENV
    names: tuple[str, ...] = ()
    """The session's names to write; all of them if empty."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """The session's name → the name in the file."""

    def has(self, name: str) -> bool:
        """Whether a name of the session is written to the file."""
        return not self.names or name in self.names

    def values(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return the values of the file under their names in it.

        Raises `DeliveryError` for a name that is missing, twice there, or whose value
        this format cannot hold.
        """
        if missing := [name for name in self.names if name not in env]:
            raise DeliveryError(
                f"the session has no {_listed(missing)}",
                hint="take it out of the file's names, or see what there is: "
                "rensei-daemon credentials list",
            )
        selected = {name: env[name] for name in self.names or sorted(env)}
        renamed = rename(selected, self.rename)
        for name, value in renamed.items():
            self._require_holdable(name, value)
        return renamed

    def _require_holdable(self, name: str, value: str) -> None:
        if self.format is FileFormat.PLAIN and _LINE_END.search(value):
            raise DeliveryError(
                f"the value of {name} has a line break, which the format plain cannot hold",
                hint='use format "env", "json" or "dir", or leave it out of names',
            )
        if not is_key(name, self.format):
            raise DeliveryError(
                f"the format {self.format} cannot hold a name of {len(name)} characters "
                f"({name[:32]}…)",
                hint="give it a shorter name in the file's rename",
            )


def render(values: Mapping[str, str], format_: FileFormat) -> bytes:
    """Return the bytes of a file with these values; a directory has none."""
    match format_:
        case FileFormat.PLAIN:
            text = "".join(f"{name}={value}\n" for name, value in sorted(values.items()))
        case FileFormat.JSON:
            text = json.dumps(dict(values), indent=2, sort_keys=True) + "\n"
        case FileFormat.YAML:
            text = _render_yaml(values)
        case _:
            text = render_env_file(values)
    return text.encode()


def read(text: str, format_: FileFormat) -> dict[str, str]:
    """Return the values of a text from `render`; what cannot be read is ignored."""
    match format_:
        case FileFormat.PLAIN:
            return dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
        case FileFormat.JSON:
            try:
                found = json.loads(text)
            except (ValueError, RecursionError):
                return {}
            entries = found.items() if isinstance(found, dict) else ()
            return {name: value for name, value in entries if isinstance(value, str)}
        case FileFormat.YAML:
            return _read_yaml(text)
        case _:
            return read_env_file(text)


def _render_yaml(values: Mapping[str, str]) -> str:
    # Names are quoted too: a bare NO or NULL is no text in YAML.
    lines = (f"{_quoted(name)}: {_quoted(values[name])}\n" for name in sorted(values))
    return "".join(lines) or "{}\n"


def _quoted(text: str) -> str:
    r"""Quote a text for YAML: as JSON does, and everything else in ASCII.

    JSON writes U+1F600 as two surrogates, which YAML does not join; YAML has `\U`.
    """
    return _NOT_ASCII.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    number = ord(found[0])
    return f"\\u{number:04X}" if number < 0x10000 else f"\\U{number:08X}"


def _read_yaml(text: str) -> dict[str, str]:
    entries = {}
    for name, value in _YAML_ENTRY.findall(text):
        try:
            entries[name[1:-1]] = json.loads(_YAML_ASTRAL.sub(_unescaped, value))
        except ValueError:
            continue
    return entries


def _unescaped(found: re.Match[str]) -> str:
    if found[2] is None or int(found[2], 16) > 0x10FFFF:
        return found[0]
    return chr(int(found[2], 16))


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
