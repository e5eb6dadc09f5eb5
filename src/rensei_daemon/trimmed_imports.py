"""Keeps modules out of a process that libraries import, but do not need."""

import importlib
import os
import sys

_LEFT_BEHIND = (
    "bz2",  # imported by shutil and zipfile, for archives
    "lzma",
    "_uuid",  # imported by uuid, for ids made of the time
    "greenlet",  # imported by structlog, for a program that uses it
    "rich",  # imported by structlog, to draw tracebacks on a developer's terminal
)
"""Modules that libraries import if they are installed, but do not need."""


def trim_imports() -> None:
    """Prevent later imports of modules that libraries import but the daemon does not need.

    This saves half a megabyte of memory, and three more where `rich` is installed. A
    module that is imported already stays.
    """
    for name in _LEFT_BEHIND:
        # None in place of a module prevents its import, as Python documents.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    # Without this variable zoneinfo, which pydantic imports, reads Python's makefile with a
    # large module. Only its import looks, and programs that we start must not inherit it.
    if "PYTHONTZPATH" not in os.environ:
        os.environ["PYTHONTZPATH"] = "/usr/share/zoneinfo"
        importlib.import_module("zoneinfo")
        del os.environ["PYTHONTZPATH"]
