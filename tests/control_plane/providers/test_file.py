"""The provider of a directory of files."""

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from deadlines import HANG_SECONDS
from polling import until_answer

from rensei_platform.errors import SettingsError
from rensei_platform.providers.base import (
    BadAnswerError,
    Location,
    ProviderDeniedError,
    ProviderUnavailableError,
    ResolveError,
    SecretNotFoundError,
)
from rensei_platform.providers.file import MOST_READING, FileProvider
from rensei_platform.providers.options import Limits

CANARY = "canary-of-the-file-tests"
MNT_DETACH = 2
LINK_OUT = "a symbolic link leads out of the directory"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the directory of an instance, with one secret in it."""
    (tmp_path / "root/app").mkdir(parents=True)
    (tmp_path / "root/app/TOKEN").write_text(f"{CANARY}\n")
    return tmp_path / "root"


async def _resolve(root: Path, path: str = "app", **names: str) -> dict[str, str]:
    provider = FileProvider({"directory": str(root)}, Limits(most_bytes=1024))
    at = Location(org_id="org", kind="byok", path=tuple(path.split("/")), names=names)
    return dict((await provider.resolve(at)).values)


async def _refusal(
    kind: type[ResolveError], root: Path, path: str = "app", **names: str
) -> str:
    with pytest.raises(kind) as refused:
        await _resolve(root, path, **names)
    assert type(refused.value) is kind
    assert CANARY not in f"{refused.value!r} {refused.value.detail}"
    return refused.value.reason


async def test_read(root: Path) -> None:
    """A file is a field; without names those are read that can be variables."""
    (root / "app/tls.crt").write_text("certificate")
    (root / "app/below").mkdir()
    assert await _resolve(root) == {"TOKEN": CANARY}
    assert await _resolve(root, CERT="tls.crt") == {"CERT": "certificate"}


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"a\n", "a"),
        (b"a\r\n", "a"),
        (b"a\n\n", "a\n"),
        (b"a", "a"),
        (b"a\r", "a\r"),
        (b" a \n", " a "),
        (b"\n", ""),
        (b"-----BEGIN-----\nx\n-----END-----\n", "-----BEGIN-----\nx\n-----END-----"),
    ],
)
async def test_line_end(root: Path, octets: bytes, text: str) -> None:
    """One line end at the end of the file is not part of the value."""
    (root / "app/TOKEN").write_bytes(octets)
    assert await _resolve(root) == {"TOKEN": text}


async def test_empty_file(root: Path) -> None:
    """A file that was truncated and not yet written again is no empty value."""
    (root / "app/TOKEN").write_bytes(b"")
    reason = "the file 'TOKEN' is empty"
    assert await _refusal(ProviderUnavailableError, root, T="TOKEN") == reason
    assert await _refusal(ProviderUnavailableError, root) == reason


async def test_links_inside(root: Path) -> None:
    """Links that stay inside are followed, as a mounted secret of Kubernetes has them."""
    (root / "app/..2026").mkdir()
    (root / "app/..2026/KEY").write_text("of the mount")
    (root / "app/..data").symlink_to("..2026")
    (root / "app/KEY").symlink_to("..data/KEY")
    assert await _resolve(root, KEY="KEY") == {"KEY": "of the mount"}
    assert await _resolve(root) == {"TOKEN": CANARY, "KEY": "of the mount"}


async def test_root_is_a_link(root: Path) -> None:
    """The directory itself may be a link: platform.toml names it."""
    link = root.with_name("link")
    link.symlink_to(root)
    assert await _resolve(link) == {"TOKEN": CANARY}


async def test_links_out(root: Path) -> None:
    """A file or a directory behind a link that leads out is refused."""
    outside = root.with_name("outside")
    outside.mkdir()
    (outside / "SECRET").write_text(CANARY)
    (root / "app/SECRET").symlink_to(outside / "SECRET")
    (root / "other").symlink_to(outside)
    (root / "app/SIBLING").symlink_to(root.with_name("root-of-another"))
    root.with_name("root-of-another").write_text(CANARY)
    assert await _refusal(ProviderDeniedError, root, S="SECRET") == LINK_OUT
    assert await _refusal(ProviderDeniedError, root, S="SIBLING") == LINK_OUT
    assert await _refusal(ProviderDeniedError, root, "other", S="SECRET") == LINK_OUT
    assert await _refusal(ProviderDeniedError, root, "other") == LINK_OUT


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("app/TOKEN", "the file cannot be read: Too many levels of symbolic links"),
        ("app", "the file cannot be opened: Not a directory"),
    ],
)
async def test_link_put_there_meanwhile(
    root: Path, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that takes a file's or directory's place after the check is not followed."""
    resolve = Path.resolve

    def resolve_then_swap(path: Path, *, strict: bool = False) -> Path:
        resolved = resolve(path, strict=strict)
        if path.name == "TOKEN":
            (root / name).rename(root / "moved")
            (root / name).symlink_to(root / "moved")
        return resolved

    monkeypatch.setattr(Path, "resolve", resolve_then_swap)
    with pytest.raises(ResolveError) as refused:
        await _resolve(root, T="TOKEN")
    assert refused.value.reason == reason


async def test_too_many_entries(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with thousands of entries is not walked to its end."""
    monkeypatch.setattr("rensei_platform.providers.file.MOST_ENTRIES", 3)
    for name in ("A", "B"):
        (root / "app" / name).write_text(name)
    assert len(await _resolve(root)) == 3
    (root / "app/C").touch()
    refusal = await _refusal(BadAnswerError, root)
    assert refusal == "the directory has more than 3 entries"


async def test_loop(root: Path) -> None:
    """A loop of links is refused."""
    (root / "app/LOOP").symlink_to("LOOP")
    with pytest.raises(ResolveError, match="cannot be"):
        await _resolve(root, L="LOOP")


@pytest.mark.parametrize(
    "field", ["..", ".", "../../outside", "below/KEY", "/etc/hostname"]
)
async def test_field_with_a_path(root: Path, field: str) -> None:
    """A field is one file's name, not a path."""
    refusal = await _refusal(SecretNotFoundError, root, F=field)
    assert refusal == f"{field!r} is not the name of a file"


async def test_not_there(root: Path) -> None:
    """What is not there is told apart from what cannot be opened."""
    assert await _refusal(SecretNotFoundError, root, "none") == "there is no such file"
    assert await _refusal(SecretNotFoundError, root, N="NONE") == "there is no such file"
    denied = await _refusal(ProviderDeniedError, root, "app/TOKEN", N="NONE")
    assert denied == "the file cannot be opened: Not a directory"
    (root / "empty").mkdir()
    assert (
        await _refusal(SecretNotFoundError, root, "empty")
        == "there is no field at the path"
    )


async def test_not_a_file(root: Path) -> None:
    """A pipe or a directory is refused at once, and a pipe is not waited for."""
    os.mkfifo(root / "app/PIPE")
    (root / "app/BELOW").mkdir()
    for name in ("PIPE", "BELOW"):
        denied = await _refusal(ProviderDeniedError, root, X=name)
        assert denied == f"'{name}' is not a regular file"


async def test_too_large(root: Path) -> None:
    """Files are read up to the limit, all of them together."""
    (root / "app/A").write_text("a" * 600)
    (root / "app/B").write_text("b" * 424)
    assert len(await _resolve(root, A="A", B="B")) == 2
    (root / "app/B").write_text("b" * 425)
    refusal = await _refusal(BadAnswerError, root, A="A", B="B")
    assert refusal == "the files are larger than `most_bytes`"


async def test_not_text(root: Path) -> None:
    """A file that is not UTF-8 is refused."""
    (root / "app/BINARY").write_bytes(b"\xff\x00")
    refusal = await _refusal(BadAnswerError, root, B="BINARY")
    assert refusal == "the file 'BINARY' is not UTF-8"


@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("/absent", "directory: /absent: not a directory"),
        ("relative", "directory: Value error, the path is not absolute"),
    ],
)
def test_options(directory: str, message: str) -> None:
    """An instance without its directory is refused at the start."""
    with pytest.raises(SettingsError) as refused:
        FileProvider({"directory": directory}, Limits())
    assert str(refused.value) == message


@contextmanager
def _hanging(directory: Path) -> Iterator[None]:
    """Mount a file system that answers nothing, as one of a network that is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    where = os.fsencode(directory)
    try:
        mounted = libc.mount(b"none", where, b"fuse", 0, options.encode())
        assert mounted == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            libc.umount2(where, MNT_DETACH)
    finally:
        os.close(device)  # which fails everything that waits


@pytest.mark.needs("root", "mount", "fuse")
async def test_a_file_system_that_hangs(root: Path) -> None:
    """Each caller has its deadline, threads are bounded, and it works again afterwards."""
    provider = FileProvider({"directory": str(root)}, Limits(most_bytes=1024))
    at = Location(org_id="org", kind="byok", path=("app",), names={})
    threads = threading.active_count()
    with anyio.fail_after(HANG_SECONDS), _hanging(root / "app"):
        for _ in range(MOST_READING + 5):
            with anyio.move_on_after(0.05), suppress(ProviderUnavailableError):
                await provider.resolve(at)
        with pytest.raises(ProviderUnavailableError, match="does not answer"):
            await provider.resolve(at)
        assert threading.active_count() <= threads + MOST_READING

    async def is_back() -> bool:
        with suppress(ProviderUnavailableError):
            return bool((await provider.resolve(at)).values)
        return False

    await until_answer(is_back)
