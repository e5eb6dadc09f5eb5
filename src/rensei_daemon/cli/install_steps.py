"""The steps by which `install` and `uninstall` change a host: values first, deeds later.

Each step can say what it would do, and do it; doing it twice is as good as once. What
the steps are, and in which order, is their caller's affair.
"""

import os
import shutil
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from rensei_daemon.disk.atomic_file import replace_file, storage_errors, temporary_file
from rensei_daemon.errors import RenseiError, StorageError


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
    """Make a directory, unless there is one."""

    path: Path
    mode: int

    def plan(self) -> str:
        """Tell whether it is there already."""
        return f"{'keep' if _exists(self.path) else 'make'} {self.path}"

    def carry_out(self) -> str:
        """Make it, and those it is in."""
        if _exists(self.path):
            return f"kept {self.path}"
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.path.mkdir(mode=self.mode)
            self.path.chmod(self.mode)  # whatever the umask says
        return f"made {self.path}"


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write a file of ours, over whatever an earlier version wrote."""

    path: Path
    text: str = field(repr=False)
    """May be a secret."""
    mode: int = 0o644

    def plan(self) -> str:
        """Tell whether it would change anything."""
        return f"{'keep' if self._is_there() else 'write'} {self.path}"

    def carry_out(self) -> str:
        """Write it, with its mode from the first moment."""
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
    """Write a first config, owned as its directory is; one that exists is never touched."""

    path: Path
    text: str

    def plan(self) -> str:
        """Tell whether there is one already."""
        return f"{'keep' if _exists(self.path) else 'write'} {self.path}"

    def carry_out(self) -> str:
        """Write it, readable for all: it holds no secret, and commands look in it."""
        with storage_errors(self.path):
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            owner = self.path.parent.stat()
            content = self.text.encode()
            try:
                with temporary_file(
                    self.path, content, mode=0o644, uid=owner.st_uid, gid=owner.st_gid
                ) as temporary:
                    # A link, unlike a rename, fails where something has the name.
                    os.link(temporary, self.path)
            except FileExistsError:
                return f"kept {self.path}"
        return f"wrote {self.path}"


@dataclass(frozen=True, slots=True)
class KeepFile:
    """Leave a file alone, and say who owns it."""

    path: Path
    whose: str

    def plan(self) -> str:
        """Say so."""
        return f"keep {self.path}, {self.whose}"

    def carry_out(self) -> str:
        """Say so again."""
        return f"kept {self.path}, {self.whose}"


@dataclass(frozen=True, slots=True)
class LinkProgram:
    """Link a program into a directory on PATH, unless another program is there."""

    path: Path
    program: Path

    def plan(self) -> str:
        """Tell what is there already."""
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
    """A step that the service works without: a failure is reported, and install goes on."""

    step: Step

    def plan(self) -> str:
        """Tell what it would try."""
        return self.step.plan()

    def carry_out(self) -> str:
        """Try it."""
        try:
            return self.step.carry_out()
        except StorageError as error:
            return f"went on without {error}"


@dataclass(frozen=True, slots=True)
class RemoveTree:
    """Remove a directory and all that is in it."""

    path: Path

    def plan(self) -> str:
        """Tell whether there is one."""
        return f"{'remove' if _exists(self.path) else 'find no'} {self.path}"

    def carry_out(self) -> str:
        """Remove it; a symbolic link is not followed."""
        if not _exists(self.path):
            return f"found no {self.path}"
        with storage_errors(self.path):
            if self.path.is_symlink():
                self.path.unlink()
            else:
                shutil.rmtree(self.path)
        return f"removed {self.path}"


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove a file that `install` wrote."""

    path: Path

    def plan(self) -> str:
        """Tell whether there is one."""
        return f"{'remove' if _exists(self.path) else 'find no'} {self.path}"

    def carry_out(self) -> str:
        """Remove it, if it is there."""
        with storage_errors(self.path):
            try:
                self.path.unlink()
            except FileNotFoundError:
                return f"found no {self.path}"
        return f"removed {self.path}"


@dataclass(frozen=True, slots=True)
class RunProgram:
    """Run one of systemd's programs."""

    words: tuple[str, ...]

    def plan(self) -> str:
        """Show the command."""
        return f"run {' '.join(self.words)}"

    def carry_out(self) -> str:
        """Run it to its end."""
        command = " ".join(self.words)
        try:
            done = subprocess.run(  # noqa: S603 - the words are ours
                self.words, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except FileNotFoundError as error:
            raise RenseiError(
                f"there is no {self.words[0]} on this host",
                hint="a service needs systemd; without it: rensei-daemon run",
            ) from error
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise RenseiError(f"{command} failed: {said or f'exit {done.returncode}'}")
        return f"ran {command}"


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
