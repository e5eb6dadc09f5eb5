"""A session's directory of files under the doctor's eyes."""

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rensei_daemon.core.credential import Credentials, difference
from rensei_daemon.core.file_content import FileContent, FileFormat
from rensei_daemon.delivery.file_delivery import FileDelivery
from rensei_daemon.doctor.result import CheckResult, Verdict
from rensei_daemon.doctor.storage import check_storage

if TYPE_CHECKING:
    from doctor.conftest import Patient

TEXT = """
[[credentials.sessions]]
id = "b"
[[credentials.sessions.files]]
path = "db"
format = "dir"
rename = { USER = "user" }
"""
VALUES = Credentials(1, {"USER": "ada", "PASSWORD": "s3cret"})


async def deliver(patient: "Patient", credentials: Credentials = VALUES) -> Path:
    """Have the directory written as the daemon does, and return it."""
    patient.configure(TEXT)
    path = patient.locations.runtime / "db"
    content = FileContent(format=FileFormat.DIR, rename={"USER": "user"})
    delivery = FileDelivery(path, content, mode=0o440, gid=None)
    assert await delivery.deliver(credentials, difference(Credentials(), credentials))
    return path


def found(patient: "Patient", **session: Any) -> list[CheckResult]:
    """Return what is found of the files; with names, a daemon runs and says these."""
    case = patient.case()
    if session:
        status = {"sessions": [{"id": "b", "generation": 1, **session}]}
        case = replace(case, status=status, silence=None, is_running=True)
    return [finding for finding in check_storage(case) if finding.code == "files"]


async def test_a_directory_as_it_was_written_is_well(patient: "Patient") -> None:
    """With the names that the session has, and with a file of somebody else beside it."""
    patient.configure(TEXT)
    assert [one.verdict for one in found(patient)] == [Verdict.PASS]  # not there yet
    path = await deliver(patient)
    (path / "README").write_text("by hand")
    sessions: list[dict[str, Any]] = [{}, {"names": ["USER", "PASSWORD"]}, {"names": []}]
    for session in sessions:
        assert [one.verdict for one in found(patient, **session)] == [Verdict.PASS]


def _remove_file(path: Path) -> str:
    (path / "..data" / "user").unlink()
    return f"{path}/user is missing"


def _remove_link(path: Path) -> str:
    (path / "user").unlink()
    return f"{path}/user is missing"


def _redirect_link(path: Path) -> str:
    (path / "elsewhere").write_text("not ours")
    (path / "user").unlink()
    (path / "user").symlink_to("elsewhere")
    return f"{path}/user is not what the daemon has put there"


def _put_a_file(path: Path) -> str:
    (path / "user").unlink()
    (path / "user").write_text("not ours")
    return f"{path}/user is not what the daemon has put there"


def _put_a_link_behind(path: Path) -> str:
    (path / "..data" / "user").unlink()
    (path / "..data" / "user").symlink_to("/etc/passwd")
    return f"{path}/..data/user is not what the daemon has put there"


def _redirect_all(path: Path) -> str:
    (path / "..data").unlink()
    (path / "..data").symlink_to(path.parent)
    return f"{path}/..data is not what the daemon has put there"


def _redirect_directory(path: Path) -> str:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    return f"{path} is not what the daemon has put there"


def _open_file(path: Path) -> str:
    (path / "..data" / "user").chmod(0o644)
    return f"{path}/..data/user is open to more than it should be (0644, not 0440)"


def _open_generation(path: Path) -> str:
    (path / "..data").chmod(0o777)
    return f"{path}/..data is open to more than it should be (0777, not 0750)"


def _open_directory(path: Path) -> str:
    path.chmod(0o755)
    return f"{path} is open to more than it should be (0755, not 0750)"


@pytest.mark.parametrize(
    "spoil",
    [
        _remove_file,
        _remove_link,
        _redirect_link,
        _put_a_file,
        _put_a_link_behind,
        _redirect_all,
        _redirect_directory,
        _open_file,
        _open_generation,
        _open_directory,
    ],
)
async def test_each_file_is_looked_at(
    patient: "Patient", spoil: Callable[[Path], str]
) -> None:
    """One finding, which says where; without a daemon the fix begins with its start."""
    told = spoil(await deliver(patient))
    (one,) = found(patient)
    assert one.verdict is Verdict.FAIL
    assert one.evidence.startswith(told)
    assert one.fix
    if "missing" in told:
        assert one.fix == patient.case().locations.start_command
        (one,) = found(patient, names=["USER", "PASSWORD"])
        assert one.fix == "rensei-daemon sync"


async def test_a_closed_file_is_a_warning(patient: "Patient") -> None:
    """Workers of the group would find it shut."""
    path = await deliver(patient)
    (path / "..data" / "PASSWORD").chmod(0o400)
    (one,) = found(patient)
    assert (one.verdict, one.evidence) == (
        Verdict.WARN,
        f"{path}/..data/PASSWORD has mode 0400, not 0440",
    )


async def test_a_name_that_the_session_has_is_missed(patient: "Patient") -> None:
    """By its name in the directory; one that is twice there is a condition of its own."""
    path = await deliver(patient)
    names = ["USER", "PASSWORD", "TOKEN"]
    (one,) = found(patient, names=names)
    assert one.evidence == f"{path}/TOKEN is missing: workers do not find it"
    assert [f.verdict for f in found(patient, names=["USER", "user"])] == [Verdict.PASS]


@pytest.mark.needs("root")
async def test_a_file_of_somebody_else_fails(patient: "Patient") -> None:
    """As one that a command of root has written."""
    file = await deliver(patient) / "..data" / "user"
    os.chown(file, 65534, -1)
    (one,) = found(patient)
    assert (one.verdict, one.fix) == (Verdict.FAIL, f"chown root {file}")


async def test_many_troubles_are_a_few_lines(patient: "Patient") -> None:
    """A command that changed every mode makes no report of a thousand lines."""
    env = {f"NAME_{n}": "v" for n in range(1000)}
    path = await deliver(patient, Credentials(1, env))
    for file in (path / "..data").iterdir():
        file.chmod(stat.S_IMODE(file.stat().st_mode) | 0o004)
    *_, last = lines = found(patient)
    assert len(lines) == 6
    assert last.evidence == f"{path} has 995 more of these"
