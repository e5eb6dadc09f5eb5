"""The daemon's unit on this host: where its files go, and the program that it runs."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rensei_daemon.cli.own_program import NAME, PACKAGED_PROGRAM
from rensei_daemon.fast_dataclass import dataclass

SYSTEM = Path("/")
_UNITS = ("usr/lib", "lib")
"""Where packages install units, with a merged /usr and without."""


@dataclass(frozen=True, slots=True)
class SystemPaths:
    """Files of a system service, besides its unit and its config."""

    sysusers: Path
    """Makes systemd create the user."""
    tmpfiles: Path
    """Makes systemd create the config's directory."""
    credstore: Path
    """Where systemd finds credentials."""
    link: Path
    """Where shells find a program that is installed elsewhere."""
    packaged_unit: Path | None
    """The unit of a package; one in /etc would hide it."""


@dataclass(frozen=True, slots=True)
class InstallPaths:
    """The paths of an installed daemon."""

    root: Path
    unit: Path
    config: Path
    key: Path
    """Where the API key is stored."""
    state: Path
    """The state directory."""
    share: Path
    """Where programs look for files of others, such as completions."""
    host: SystemPaths | None = None
    """None for a user's daemon."""

    @property
    def systemctl(self) -> tuple[str, ...]:
        """The command of the service manager, or the units of an image."""
        if self.host is None:
            return ("systemctl", "--user")
        return (
            ("systemctl",) if self.root == SYSTEM else ("systemctl", f"--root={self.root}")
        )

    @property
    def packaged_unit(self) -> Path | None:
        """The unit that a package has installed, if any."""
        return None if self.host is None else self.host.packaged_unit

    @property
    def drop_ins(self) -> Path:
        """The directory of the operator's changes of the unit."""
        return self.unit.with_name(f"{self.unit.name}.d")

    def enablements(self) -> list[Path]:
        """Return the links by which the service is enabled.

        Those of an image lead nowhere from here.
        """
        groups = sorted(self.unit.parent.glob("*.wants"))
        links = (group / self.unit.name for group in groups)
        return [link for link in links if os.path.lexists(link)]

    def is_enabled(self) -> bool:
        """Whether the service is enabled."""
        return bool(self.enablements())

    def has_key(self) -> bool:
        """Whether an API key is stored, as far as this user can see."""
        with suppress(PermissionError):
            return self.key.exists()
        return False

    def is_manager_there(self, environ: Mapping[str, str]) -> bool:
        """Whether the service manager of these paths is running."""
        if self.host is not None:
            return self.root == SYSTEM and Path("/run/systemd/system").is_dir()
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        return bool(runtime) and Path(runtime, "systemd/private").exists()


def system_paths(root: Path = SYSTEM) -> InstallPaths:
    """Return the paths of the system's daemon, in the system below `root`."""
    etc = root / "etc"
    credstore = etc / "credstore"
    return InstallPaths(
        root=root,
        unit=etc / "systemd/system" / f"{NAME}.service",
        config=etc / NAME / "config.toml",
        key=credstore / f"{NAME}.api-key",
        state=root / "var/lib" / NAME,
        share=_share(root),
        host=SystemPaths(
            sysusers=etc / "sysusers.d" / f"{NAME}.conf",
            tmpfiles=etc / "tmpfiles.d" / f"{NAME}.conf",
            credstore=credstore,
            link=root / "usr/local/bin" / NAME,
            packaged_unit=_packaged_unit(root),
        ),
    )


def _packaged_unit(root: Path) -> Path | None:
    places = (root / top / "systemd/system" / f"{NAME}.service" for top in _UNITS)
    return next((place for place in places if place.exists()), None)


def _share(root: Path) -> Path:
    """Return /usr/share, or /usr/local/share if the former is read-only."""
    share = root / "usr/share"
    # Not what this user may write: a plan that anybody makes is the one of root.
    is_shut = share.is_dir() and bool(os.statvfs(share).f_flag & os.ST_RDONLY)
    return root / "usr/local/share" if is_shut else share


def user_paths(config_home: Path, state_home: Path, data_home: Path) -> InstallPaths:
    """Return the paths of a user's daemon."""
    return InstallPaths(
        root=SYSTEM,
        unit=config_home / "systemd/user" / f"{NAME}.service",
        config=config_home / NAME / "config.toml",
        key=config_home / NAME / "api-key",
        state=state_home / NAME,
        share=data_home,
    )


def running(program: Path, unit: str) -> str:
    """Return the text of a unit that runs this program."""
    word = str(program).replace("%", "%%")
    if any(letter in word for letter in " \t\"'\\;"):
        escaped = word.replace("\\", "\\\\").replace('"', '\\"')
        word = f'"{escaped}"'
    return unit.replace(str(PACKAGED_PROGRAM), word)
