"""The steps by which `install` and `uninstall` change a host: first planned, then done.

Each step can describe itself and be carried out; doing it twice has the effect of once. The
caller decides which steps there are, and their order.
"""

import os
import shlex
import shutil
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from rensei_daemon.disk.atomic_file import replace_file, storage_errors, temporary_file
from rensei_daemon.errors import RenseiError, StorageError
from rensei_daemon.fast_dataclass import dataclass, field


class Step(Protocol):
    """One change of the host."""

    def plan(self) -> str:
        """Return the line that says what `carry_out` would do."""

    def carry_out(self) -> str:
        """Do it, and return the line that says what was done.

        Raises `StorageError` for a file, `RenseiError` for a program that fails.
        """


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """Create a directory, unless it exists."""

    path: Path
    mode: int

    def plan(self) -> str:
        """Return what it would do."""
        return f"{'keep' if _exists(self.path) else 'make'} {self.path}"

    def carry_out(self) -> str:
        """Create it, and its parents."""
        if _exists(self.path):
            return f"kept {self.path}"
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.mkdir(mode=self.mode)
            self.path.chmod(self.mode)  # whatever the umask is
        return f"made {self.path}"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file of ours, over that of an earlier version."""

    path: Path
    text: str = field(repr=False)
    """May be a secret."""
    mode: int = 0o644

    def plan(self) -> str:
        """Return what it would do."""
        return f"{'keep' if self._is_there() else 'write'} {self.path}"

    def carry_out(self) -> str:
        """Write it, with its mode from the start."""
        if self._is_there():
            return f"kept {self.path}"
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        replace_file(self.path, self.text.encode(), mode=self.mode)
        return f"wrote {self.path}"

    def _is_there(self) -> bool:
        with suppress(OSError):
            mode = stat.S_IMODE(self.path.stat().st_mode)
            return mode == self.mode and self.path.read_bytes() == self.text.encode()
        return False


@dataclass(frozen=True, slots=True)
class WriteConfig:
    """Write a first config, owned like its directory; an existing one is never changed."""

    path: Path
    text: str

    def plan(self) -> str:
        """Return what it would do."""
        return f"{'keep' if _exists(self.path) else 'write'} {self.path}"

    def carry_out(self) -> str:
        """Write it, readable for all: it holds no secret, and commands read it."""
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            owner = self.path.parent.stat()
            content = self.text.encode()
            try:
                with temporary_file(
                    self.path, content, mode=0o644, uid=owner.st_uid, gid=owner.st_gid
                ) as temporary:
                    # A link, unlike a rename, fails if the name exists.
                    os.link(temporary, self.path)
            except FileExistsError:
                return f"kept {self.path}"
        return f"wrote {self.path}"


@dataclass(frozen=True, slots=True)
class KeepFile:
    """Leave a file as it is, and say to whom it belongs."""

    path: Path
    note: str

    def plan(self) -> str:
        """Return that it is kept."""
        return f"keep {self.path}, {self.note}"

    def carry_out(self) -> str:
        """Return that it is kept."""
        return f"kept {self.path}, {self.note}"


@dataclass(frozen=True, slots=True)
class LinkProgram:
    """Link a program into a directory on PATH, unless another program has the name."""

    path: Path
    program: Path

    def plan(self) -> str:
        """Return what it would do."""
        if self._is_there():
            return f"keep {self.path}"
        return f"{'leave' if self.path.exists() else 'link'} {self.path}"

    def carry_out(self) -> str:
        """Link it; a dangling link is replaced."""
        if self._is_there():
            return f"kept {self.path}"
        if self.path.exists():
            return f"left {self.path}, which is another program"
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self.path.symlink_to(self.program)
        return f"linked {self.path} to {self.program}"

    def _is_there(self) -> bool:
        return self.path.is_symlink() and self.path.readlink() == self.program


@dataclass(frozen=True, slots=True)
class OptionalStep:
    """A step that the service does not need: if it fails, the failure is reported only."""

    step: Step

    def plan(self) -> str:
        """Return what it would try."""
        return self.step.plan()

    def carry_out(self) -> str:
        """Try it."""
        try:
            return self.step.carry_out()
        except StorageError as error:
            return f"went on without {error}"


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file that `install` wrote."""

    path: Path

    def plan(self) -> str:
        """Return what it would do."""
        return f"{'remove' if _exists(self.path) else 'find no'} {self.path}"

    def carry_out(self) -> str:
        """Remove it if it exists."""
        if not _exists(self.path):
            return f"found no {self.path}"
        with storage_errors(self.path):
            self._remove()
        return f"removed {self.path}"

    def _remove(self) -> None:
        self.path.unlink()


class RemoveTree(RemoveFile):
    """Remove a directory with its content; a symbolic link is not followed."""

    def _remove(self) -> None:
        if self.path.is_symlink():
            self.path.unlink()
        else:
            shutil.rmtree(self.path)


@dataclass(frozen=True, slots=True)
class RunProgram:
    """Run a program of systemd."""

    words: tuple[str, ...]

    def plan(self) -> str:
        """Return the command."""
        return f"run {shlex.join(self.words)}"

    def carry_out(self) -> str:
        """Run it, and wait for its end."""
        command = shlex.join(self.words)
        try:
            done = subprocess.run(  # noqa: S603 - the arguments are ours
                self.words, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise RenseiError(
                f"there is no {self.words[0]} on this host",
                hint="a service needs systemd; without it: rensei-daemon run",
            ) from error
        if done.returncode != 0:
            output = done.stderr.decode(errors="replace").strip()
            raise RenseiError(f"{command} failed: {output or f'exit {done.returncode}'}")
        return f"ran {command}"


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
