"""`KEY=VALUE` arguments as the params of a mutation.

===============  ==========================================================================
``KEY=text``     the text itself
``KEY:=json``    any JSON value: ``enabled:=true``, ``candidatePoolIds:='["pool_b"]'``
``KEY=@file``    a file's content: a JSON object or array as such, anything else as text,
                 without one final newline; ``@-`` is standard input
``KEY:=@file``   a file's content, which must be JSON
===============  ==========================================================================

A text that begins with ``@`` is written as JSON: ``KEY:='"@text"'``.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from rensei_daemon.errors import UsageError

ReadFile = Callable[[str], str]
"""Returns the text of a file, by the name given after `@`; raises `UsageError`."""

_ARGUMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)(:?=)(.*)", re.DOTALL)


def parse_params(arguments: Sequence[str], read_file: ReadFile) -> dict[str, Any]:
    """Return the params that the arguments spell, in their order.

    Raises `UsageError` for one that is not KEY=VALUE, is no JSON where it should be, or
    comes twice.
    """
    params: dict[str, Any] = {}
    for argument in arguments:
        match = _ARGUMENT.fullmatch(argument)
        if match is None:
            raise UsageError(
                f"{argument!r} is not KEY=VALUE",
                hint="write KEY=text, KEY:=json or KEY=@file",
            )
        key, sign, value = match.groups()
        if key in params:
            raise UsageError(f"{key} is given twice")
        params[key] = _value(key, sign, value, read_file)
    return params


def _value(key: str, sign: str, value: str, read_file: ReadFile) -> Any:
    is_file = value.startswith("@")
    text = read_file(value[1:]) if is_file else value
    if sign == ":=":
        return _json(key, text)
    if is_file and text.lstrip()[:1] in ("{", "["):
        return _json(key, text)
    return text.removesuffix("\n") if is_file else text


def _json(key: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise UsageError(f"{key}: this is not JSON: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{key}: this JSON is nested too deeply") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def read_param_file(name: str) -> str:
    """Return the text of a file, or of standard input for `-`; raise `UsageError`."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8") from error
