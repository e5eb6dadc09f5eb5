"""What a power cut may leave of some files, from a trace of the system calls on them.

`strace -f -y -xx` gives the calls. Their effects count as durable once they are flushed: a
file's content by fsync or fdatasync of the file, its name by fsync of its directory. At a
cut, everything flushed is there; of the rest any part may be, in any order: each write,
each sector of it, each change of a name. That is less than Linux file systems promise.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    "openat", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "rename", "renameat2",
    "unlink", "unlinkat", "mkdir", "sendto",
)  # fmt: skip
SECTOR = 512
_RENAME_EXCHANGE = "RENAME_EXCHANGE"
_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+).*")
_UNFINISHED, _RESUMED = " <unfinished ...>", re.compile(r"<\.\.\. (\w+) resumed>(.*)")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OF_DESCRIPTOR = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that succeeded."""

    name: str
    path: Path
    """Of its descriptor, else the first one it names."""
    texts: tuple[bytes, ...]
    """Every text among its arguments."""
    numbers: tuple[int, ...]
    words: str
    """Its arguments as they were printed."""


def read_trace(text: str) -> Iterator[Call]:
    """Yield the calls that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in text.splitlines():
        if (found := _LINE.fullmatch(line)) is None:
            continue
        pid, rest = found["pid"], found["rest"]
        if rest.endswith(_UNFINISHED):
            begun[pid] = rest.removesuffix(_UNFINISHED)
            continue
        if resumed := _RESUMED.fullmatch(rest):
            rest = begun.pop(pid, "") + resumed[2]
        call = _CALL.fullmatch(rest)
        if call is not None and int(call["result"]) >= 0:
            yield _parse(call["name"], call["arguments"])


def _parse(name: str, arguments: str) -> Call:
    texts = tuple(map(_decode, _TEXT.findall(arguments)))
    described = _OF_DESCRIPTOR.match(arguments)
    if described:
        path = Path(_decode(described[1]).decode(errors="replace"))
    else:
        path = Path(texts[0].decode(errors="replace")) if texts else Path()
    bare = _TEXT.sub("", arguments)
    numbers = tuple(int(n) for n in re.findall(r"(?<=, )\d+(?=,|$)", bare))
    return Call(name, path, texts, numbers, arguments)


def _decode(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at a place of a file, or its new length."""

    offset: int
    data: bytes | None
    """None: the file now ends at `offset`."""

    def apply(self, content: bytes) -> bytes:
        """Return the content after it."""
        if self.data is None:
            return content[: self.offset].ljust(self.offset, b"\0")
        padded = content.ljust(self.offset, b"\0")
        return padded[: self.offset] + self.data + padded[self.offset + len(self.data) :]

    def torn(self, chance: random.Random) -> Iterator["Write"]:
        """Yield some of its sectors."""
        if self.data is None:
            if chance.random() < 0.5:
                yield self
            return
        for start in range(0, len(self.data), SECTOR):
            if chance.random() < 0.5:
                yield Write(self.offset + start, self.data[start : start + SECTOR])


@dataclass
class File:
    """A file: what is durable of it, and what is not yet."""

    durable: bytes = b""
    pending: list[Write] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """What a reader sees while there is power."""
        content = self.durable
        for write in self.pending:
            content = write.apply(content)
        return content


@dataclass(frozen=True, slots=True)
class Renaming:
    """What names refer to from now on; None: nothing."""

    names: dict[Path, File | None]

    @property
    def directories(self) -> set[Path]:
        """Whose entries change."""
        return {path.parent for path in self.names}


@dataclass
class Disk:
    """The files below some directories, of which each call changes something."""

    roots: tuple[Path, ...]
    durable: dict[Path, File]
    """What each name leads to after a cut."""
    names: dict[Path, File] = field(init=False)
    """What it leads to now."""
    pending: list[Renaming] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with everything durable."""
        self.names = dict(self.durable)

    @classmethod
    def of(cls, *roots: Path) -> "Disk":
        """Read what is on the disk now."""
        files = [path for root in roots for path in root.iterdir() if path.is_file()]
        return cls(roots, {path: File(path.read_bytes()) for path in files})

    def apply(self, call: Call) -> bool:
        """Do what a call does; return whether it is about these files."""
        if call.name == "sendto" or not self._is_mine(call.path):
            return False
        match call.name:
            case "openat":
                self._open(call)
            case "write" | "pwrite64" | "ftruncate":
                self._write(call)
            case "fsync" | "fdatasync":
                self._flush(call.path)
            case _:
                self._rename(call)
        return True

    def _is_mine(self, path: Path) -> bool:
        return path in self.roots or path.parent in self.roots

    def _open(self, call: Call) -> None:
        path = Path(call.texts[0].decode())
        if path not in self.names and "O_CREAT" in call.words:
            self._change({path: File()})
        elif "O_TRUNC" in call.words:
            self.names[path].pending.append(Write(0, None))

    def _write(self, call: Call) -> None:
        file = self.names.get(call.path)
        if file is None:
            return  # it has no name any more
        if call.name == "ftruncate":
            file.pending.append(Write(call.numbers[-1], None))
            return
        offset = call.numbers[-1] if call.name == "pwrite64" else len(file.content)
        file.pending.append(Write(offset, call.texts[0]))

    def _flush(self, path: Path) -> None:
        if path in self.roots:
            waiting = [r for r in self.pending if path not in r.directories]
            for renaming in self.pending:
                if path in renaming.directories:
                    _rename(self.durable, renaming.names)
            self.pending = waiting
        elif file := self.names.get(path):
            file.durable, file.pending = file.content, []

    def _rename(self, call: Call) -> None:
        old = Path(call.texts[0].decode())
        if call.name.startswith("unlink"):
            self._change({old: None})
            return
        new = Path(call.texts[1].decode())
        is_exchange = _RENAME_EXCHANGE in call.words
        self._change({new: self.names[old], old: self.names[new] if is_exchange else None})

    def _change(self, names: dict[Path, File | None]) -> None:
        _rename(self.names, names)
        self.pending.append(Renaming(names))

    # -- the cut --

    def least(self) -> dict[Path, bytes]:
        """Return what is left if nothing got further than it had to."""
        return {path: file.durable for path, file in self.durable.items()}

    def most(self) -> dict[Path, bytes]:
        """Return what is left if everything did."""
        return {path: file.content for path, file in self.names.items()}

    def any(self, chance: random.Random) -> dict[Path, bytes]:
        """Return what is left if some of it did, torn and in another order."""
        names = dict(self.durable)
        for renaming in self.pending:
            if chance.random() < 0.5:
                _rename(names, renaming.names)
        left: dict[int, bytes] = {}
        for file in names.values():
            parts = [part for write in file.pending for part in write.torn(chance)]
            chance.shuffle(parts)
            content = file.durable
            for part in parts:
                content = part.apply(content)
            left[id(file)] = content
        return {path: left[id(file)] for path, file in names.items()}


def _rename(names: dict[Path, File], changes: dict[Path, File | None]) -> None:
    for path, file in changes.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file
