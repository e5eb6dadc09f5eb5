"""The daemon's unit on this host: where its files go, and the program that it runs."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import rensei_daemon
from rensei_daemon.errors import RenseiError

NAME = "rensei-daemon"
PACKAGED_PROGRAM = "/usr/bin/rensei-daemon"
SYSTEM = Path("/")

_HIDDEN = tuple(map(Path, ("/root", "/home", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is put there
"""What ProtectHome= and PrivateTmp= keep from the service."""


@dataclass(frozen=True, slots=True)
class HostPlaces:
    """What a service of the whole host has beside its unit and its config."""

    sysusers: Path
    """Has systemd make the user."""
    tmpfiles: Path
    """Has systemd make the config's directory."""
    credstore: Path
    """Where systemd finds credentials."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything of an installed daemon is."""

    root: Path
    unit: Path
    config: Path
    key: Path
    """Where the API key is put."""
    state: Path
    """What the daemon records."""
    share: Path
    """Where programs put what other programs find by its place; shells: completions."""
    host: HostPlaces | None = None
    """None for the daemon of one user."""

    @property
    def systemctl(self) -> tuple[str, ...]:
        """The words that reach the service manager, or the units of an image."""
        if self.host is None:
            return ("systemctl", "--user")
        return (
            ("systemctl",) if self.root == SYSTEM else ("systemctl", f"--root={self.root}")
        )

    def is_enabled(self) -> bool:
        """Tell whether the service starts with the host or with its user."""
        return any(self.unit.parent.glob(f"*.wants/{self.unit.name}"))

    def has_key(self) -> bool:
        """Tell whether an API key is in its place, as far as we may look."""
        with suppress(PermissionError):
            return self.key.exists()
        return False

    def is_manager_there(self, environ: Mapping[str, str]) -> bool:
        """Tell whether the service manager these places belong to is running."""
        if self.host is not None:
            return self.root == SYSTEM and Path("/run/systemd/system").is_dir()
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        return bool(runtime) and Path(runtime, "systemd/private").exists()


def host_places(root: Path = SYSTEM) -> Places:
    """Return the places of the host's own daemon, on the system that hangs at `root`."""
    etc = root / "etc"
    credstore = etc / "credstore"
    return Places(
        root=root,
        unit=etc / "systemd/system" / f"{NAME}.service",
        config=etc / NAME / "config.toml",
        key=credstore / f"{NAME}.api-key",
        state=root / "var/lib" / NAME,
        share=_share(root),
        host=HostPlaces(
            sysusers=etc / "sysusers.d" / f"{NAME}.conf",
            tmpfiles=etc / "tmpfiles.d" / f"{NAME}.conf",
            credstore=credstore,
        ),
    )


def _share(root: Path) -> Path:
    """Return /usr/share, or its local sister where the system itself cannot be written."""
    share = root / "usr/share"
    is_shut = share.is_dir() and not os.access(share, os.W_OK)
    return root / "usr/local/share" if is_shut else share


def user_places(config_home: Path, state_home: Path, data_home: Path) -> Places:
    """Return the places of one user's daemon."""
    return Places(
        root=SYSTEM,
        unit=config_home / "systemd/user" / f"{NAME}.service",
        config=config_home / NAME / "config.toml",
        key=config_home / NAME / "api-key",
        state=state_home / NAME,
        share=data_home,
    )


def this_program() -> Path:
    """Return the `rensei-daemon` that runs now; raises `RenseiError` when it is no file."""
    called = Path(os.path.abspath(sys.argv[0]))  # noqa: PTH100 - a link there is meant
    beside = Path(sys.executable).with_name(NAME)
    for program in (called, beside):
        if program.name == NAME and program.is_file():
            return program
    raise RenseiError(
        f"there is no program {beside} for the unit to run",
        hint="install the package first: pip install rensei-daemon",
    )


def running(program: Path, unit: str) -> str:
    """Return the text of a unit, made to run this program."""
    word = str(program).replace("%", "%%")
    if any(letter in word for letter in " \t\"'\\;"):
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        word = f'"{escaped}"'
    return unit.replace(PACKAGED_PROGRAM, word)


def out_of_reach(program: Path) -> Path | None:
    """Return the first place that keeps the service's user from the program, if any.

    The program needs its interpreter and its packages, which may lie elsewhere.
    """
    package = Path(rensei_daemon.__file__).parent
    needed = (program, program.resolve(), Path(sys.prefix), Path(sys.base_prefix), package)
    for place in needed:
        for step in (*reversed(place.parents), place):
            if step in _HIDDEN or not step.stat().st_mode & 0o001:
                return step
    return None
