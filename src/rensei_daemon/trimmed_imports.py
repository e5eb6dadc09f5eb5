"""Keeps modules out of a process that libraries import, but do not need."""

import importlib
import os
import sys

_LEFT_BEHIND = (
    "bz2",  # imported by shutil and zipfile, for archives
    "lzma",
    "_uuid",  # imported by uuid, for ids made of the time
    "sniffio",  # imported by httpcore, with every request, to ask which event loop runs
    "trio",  # imported by httpcore, for another event loop
    "brotli",  # imported by httpx, for encodings that we do not accept
    "brotlicffi",
    "zstandard",
    "greenlet",  # imported by structlog, for programs that use them
    "twisted",
    "colorama",  # imported by structlog, for a developer's terminal
    "better_exceptions",
    "rich",
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


def import_zoneinfo() -> None:
    """Import zoneinfo, which pydantic does, without a large module that it imports.

    Unless a variable is set, that reads Python's makefile. Only the import looks for it,
    and programs that we start must not inherit it.
    """
    if "PYTHONTZPATH" not in os.environ:
        os.environ["PYTHONTZPATH"] = "/usr/share/zoneinfo"
        importlib.import_module("zoneinfo")
        del os.environ["PYTHONTZPATH"]
