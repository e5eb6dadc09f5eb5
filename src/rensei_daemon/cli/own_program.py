"""The running program: its path, who can execute it, how it is installed and removed."""

import json
import os
import shlex
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rensei_daemon import __version__
from rensei_daemon.errors import RenseiError

NAME = "rensei-daemon"
PACKAGED_PROGRAM = Path("/usr/bin") / NAME
"""Where a package installs it, and what the packaged unit runs."""

_PACKAGE = Path(__file__).parents[1]
_HIDDEN = tuple(map(Path, ("/root", "/home", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is written there
"""Directories that ProtectHome= and PrivateTmp= hide from the service."""
_ON_EVERY_PATH = tuple(map(Path, ("/usr/local/sbin", "/usr/local/bin", "/usr/bin")))
_INSTALLERS = {
    "pipx_metadata.json": f"pipx uninstall --global {NAME}",
    "uv-receipt.toml": f"UV_TOOL_DIR={{tools}} uv tool uninstall {NAME}",
}
"""The file by which each installer marks its environment, and its uninstall command."""


def this_program() -> Path:
    """Return the running `rensei-daemon`; raises `RenseiError` if it is not a file."""
    called = Path(os.path.abspath(sys.argv[0]))  # noqa: PTH100 - a link must be kept
    beside = Path(sys.executable).with_name(NAME)
    for program in (called, beside):
        if program.name == NAME and program.is_file():
            return program
    raise RenseiError(
        f"there is no program {beside} for the unit to run",
        hint=f"install the package first: pip install {shlex.quote(source())}",
    )


def source(package: Path = _PACKAGE) -> str:
    """Return what pip can install this program from; it is in no package index."""
    checkout = package.parents[1]
    if (checkout / "pyproject.toml").is_file():
        return str(checkout)
    for record in package.parent.glob("rensei_daemon-*.dist-info/direct_url.json"):
        url = str(json.loads(record.read_text(encoding="utf-8")).get("url"))
        if url.startswith("file:///"):
            return unquote(urlsplit(url).path)
    return f"./rensei_daemon-{__version__}-py3-none-any.whl"


def is_on_path(program: Path) -> bool:
    """Whether the program is in a directory that is on the PATH of every user and unit."""
    return program.parent in _ON_EVERY_PATH


def out_of_reach(program: Path) -> Path | None:
    """Return the first path that the service's user cannot reach, if any.

    The program needs its interpreter and its packages, which may be elsewhere.
    """
    environments = (Path(sys.prefix), Path(sys.base_prefix))
    needed = (program, program.resolve(), *environments, _PACKAGE)
    for place in needed:
        for step in (*reversed(place.parents), place):
            if step in _HIDDEN or not step.stat().st_mode & 0o001:
                return step
    return None


def require_reach(program: Path) -> None:
    """Raise `RenseiError`, with the remedy, if a service cannot start the program."""
    hidden = out_of_reach(program)
    if hidden is None:
        return
    venv = f"/opt/{NAME}"
    hint = f"put it where it can: python3 -m venv {venv} && {venv}/bin/pip install "
    hint += f"{shlex.quote(source())} && {venv}/bin/{NAME} install"
    if hidden not in _HIDDEN and hidden.is_relative_to(sys.prefix):
        hint = f"let every user read it: chmod -R a+rX {shlex.quote(sys.prefix)}"
    raise RenseiError(
        f"{program} cannot run as a service, which may not enter {hidden}", hint=hint
    )


def removal(program: Path, link: Path | None) -> str:
    """Return the command that removes the program itself, and the link to it."""
    if program == PACKAGED_PROGRAM:
        return f"apt-get remove {NAME}"
    for file, command in _INSTALLERS.items():
        if Path(sys.prefix, file).exists():
            return command.format(tools=shlex.quote(str(Path(sys.prefix).parent)))
    links = [str(link)] if link is not None and link.is_symlink() else []
    if sys.prefix == sys.base_prefix:  # the system's Python, such as /usr
        unlink = f" && {shlex.join(('rm', *links))}" if links else ""
        return f"{shlex.quote(sys.executable)} -m pip uninstall {NAME}{unlink}"
    return shlex.join(("rm", "-r", sys.prefix, *links))
