"""`install`: this program as a service of systemd."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

import rensei_platform
from rensei_platform.errors import NotPermittedError, StartError, StorageError

NAME = "rensei-platform"
PACKAGED_PROGRAM = Path("/usr/bin") / NAME
"""Where a package installs it, and what the unit runs unless it is written anew."""
SYSTEM = Path("/")
_PACKAGE = Path(rensei_platform.__file__).parent
_PUBLIC_UMASK = 0o022
"""Everybody may enter the directories of a system that are made here."""
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@-]{1,4096}")
"""Which systemd takes as it is: no space, no quote, no percent sign."""
_HIDDEN = tuple(map(Path, ("/root", "/home", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is written there
"""What ProtectHome= and PrivateTmp= hide from the service."""


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """A file of the service, with its text."""

    path: Path
    text: str
    is_operators: bool = False
    """Never written over."""

    def write(self) -> str:
        """Write it, unless it is there; return what was done.

        A link is an operator's, also one that leads nowhere: it masks a unit, or its
        target is not mounted yet.
        """
        if self.path.is_symlink():
            return f"kept {self.path}, which is a link"
        draft = self.path.with_name(f".{self.path.name}.part")
        try:
            if self.path.exists() and (
                self.is_operators or self.path.read_text() == self.text
            ):
                return f"kept {self.path}"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(self.text)
            draft.chmod(0o644)
            draft.replace(self.path)
        except OSError as error:
            raise StorageError(f"cannot write {self.path}: {error.strerror}") from error
        return f"wrote {self.path}"


@click.command("install")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=SYSTEM,
    metavar="DIR",
    help="Install into the system below this directory, such as an image's.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def install(root: Path, dry_run: bool, as_json: bool) -> None:
    """Make this program a service: its unit, its user, a first platform.toml.

    Running it again brings the unit up to date. A platform.toml that exists is never
    touched, and the unit of a package is left alone.

    Example: rensei-platform install --dry-run
    """
    if os.geteuid() != 0 and not dry_run:
        raise NotPermittedError("only root can change the services of this host")
    files, commands = _files(root, _this_program()), _commands(root)
    if dry_run:
        done = [f"would write {file.path}" for file in files]
        done += [f"would run {shlex.join(command)}" for command in commands]
    else:
        before = os.umask(_PUBLIC_UMASK)
        try:
            done = [file.write() for file in files]
            done += [_run(command) for command in commands]
        finally:
            os.umask(before)
    following = _following(root)
    if as_json:
        click.echo(json.dumps({"dryRun": dry_run, "steps": done, "next": following}))
    else:
        click.echo("\n".join([*done, "\nnext:", *(f"  {line}" for line in following)]))


def _files(root: Path, program: Path) -> list[ServiceFile]:
    """Return the files; a unit in /etc would hide that of a package."""
    etc = root / "etc"
    example = _text("platform.example.toml").partition("\n[providers.")[0]
    files = [ServiceFile(etc / NAME / "platform.toml", example + "\n", is_operators=True)]
    if any((root / top / _UNIT).exists() for top in ("usr/lib", "lib")):
        return files
    if root == SYSTEM:
        require_reach(program)
    if _PLAIN_PATH.fullmatch(str(program)) is None:
        raise StartError(
            f"{program}: a unit cannot name this path",
            hint=f"Put it into a virtual environment such as /opt/{NAME}.",
        )
    unit = _text(f"{NAME}.service").replace(str(PACKAGED_PROGRAM), str(program))
    sysusers = _text(f"{NAME}.sysusers.conf")
    return [
        ServiceFile(etc / "sysusers.d" / f"{NAME}.conf", sysusers),
        *files,
        ServiceFile(etc / _UNIT, unit),
    ]


_UNIT = Path("systemd/system") / f"{NAME}.service"


def _commands(root: Path) -> list[tuple[str, ...]]:
    below = () if root == SYSTEM else (f"--root={root}",)
    commands: list[tuple[str, ...]] = [("systemd-sysusers", *below, f"{NAME}.conf")]
    if root == SYSTEM and Path("/run/systemd/system").is_dir():
        commands.append(("systemctl", "daemon-reload"))
    return commands


def _run(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - words of our own
            command, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise StartError(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode:
        raise StartError(f"{shlex.join(command)} failed: {done.stderr.strip()[:500]}")
    return f"ran {shlex.join(command)}"


def _following(root: Path) -> list[str]:
    settings = shlex.quote(str(root / "etc" / NAME / "platform.toml"))
    edit = f"${{EDITOR:-vi}} {settings}    # set `database`"
    init = f"{NAME} init --org NAME --owner EMAIL --write-key owner.key"
    if root == SYSTEM:
        return [edit, init, f"systemctl enable --now {NAME}", f"{NAME} doctor"]
    enable = shlex.join(("systemctl", f"--root={root}", "enable", NAME))
    return [edit, enable, f"{init}    # on the host that boots it"]


def _text(name: str) -> str:
    """Return a file that is in the package of a wheel, or in a checkout."""
    checkout = _PACKAGE.parents[1]
    places = (_PACKAGE / "_packaging", checkout / "packaging/systemd", checkout)
    for place in places:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise StartError(
        f"{name} is missing from this installation", hint="Install the package again."
    )


def _this_program() -> Path:
    """Return the running `rensei-platform`. Raise StartError if it is not a file."""
    called = Path(os.path.abspath(sys.argv[0]))  # noqa: PTH100 - a link must be kept
    for program in (called, Path(sys.executable).with_name(NAME)):
        if program.name == NAME and program.is_file():
            return program
    raise StartError(
        "there is no program rensei-platform for the unit to run",
        hint="Install the package first: pip install 'rensei-daemon[platform]'",
    )


def require_reach(program: Path) -> None:
    """Raise StartError if the service's user cannot reach the program or its packages."""
    for place in (program.resolve(), Path(sys.prefix), Path(sys.base_prefix), _PACKAGE):
        for step in (*reversed(place.parents), place):
            if step in _HIDDEN or not step.stat().st_mode & 0o001:
                raise StartError(
                    f"{program} cannot run as a service, which may not enter {step}",
                    hint=f"Put it into a virtual environment such as /opt/{NAME}.",
                )
