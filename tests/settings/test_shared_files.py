"""No two sessions write one env file, however its path is spelled."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rensei_daemon.core.document import Document
from rensei_daemon.disk.directories import directory_entry
from rensei_daemon.disk.user_groups import user_name
from rensei_daemon.errors import SettingsError
from rensei_daemon.settings.fitting import FittingValidator
from rensei_daemon.settings.host_checks import files_in_the_way
from rensei_daemon.settings.loading import load
from rensei_daemon.settings.local_validator import LocalValidator
from rensei_daemon.settings.sources import Sources

TEXT = """\
[credentials]
project_id = "proj_a"
[[credentials.sessions]]
id = "one"
env_file = "{one}"
[[credentials.sessions]]
id = "none"
[[credentials.sessions]]
id = "other"
env_file = "{other}"
"""


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A runtime directory with a subdirectory, and links to both of them."""
    runtime = tmp_path / "run"
    (runtime / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to(runtime)
    (runtime / "linked").symlink_to("sub")
    return runtime


def _load(runtime: Path, one: str, other: str) -> None:
    text = TEXT.format(one=one, other=other).replace("{tmp}", str(runtime.parent))
    load(text, path=Path("/c/config.toml"), environ={}, runtime=runtime)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.env", "a.env"),
        ("a.env", "./a.env"),
        ("a.env", "{tmp}/run/a.env"),
        ("{tmp}/link/a.env", "a.env"),
        ("sub/a.env", "linked/a.env"),
        ("{tmp}/link/linked/a.env", "sub//a.env"),
        ("{tmp}/run/new/a.env", "{tmp}/link/new/a.env"),
    ],
)
def test_one_file_under_two_spellings_is_refused(
    runtime: Path, one: str, other: str
) -> None:
    """Both lines are named, also while the directory is still to be made."""
    with pytest.raises(SettingsError) as caught:
        _load(runtime, one, other)
    assert str(caught.value) == (
        "/c/config.toml:10:1: credentials.sessions[2].env_file: "
        'session "one" has the same file, on line 5 (give each session a file of its own)'
    )


@pytest.mark.parametrize("other", ["b.env", "sub/a.env", "{tmp}/a.env"])
def test_two_files_are_two(runtime: Path, other: str) -> None:
    """In one directory, or of one name."""
    _load(runtime, "a.env", other)


@pytest.mark.parametrize(
    "path",
    [
        "{tmp}/config.toml",
        "{tmp}/config.toml.lock",
        "{tmp}/state/journal.db",
        "{tmp}/state/journal.db-wal",
        "{tmp}/state/config.last-good.toml",
        "{tmp}/api-key",
        "{tmp}/client.key",
        "{tmp}/daemon.log.2",
    ],
)
def test_a_file_that_the_daemon_needs_is_refused(runtime: Path, path: str) -> None:
    """It would be replaced by values, and removed with the session."""
    path = path.format(tmp=runtime.parent)
    text = (
        "[platform]\napi_key_file = 'api-key'\n"
        "client_cert_file = 'client.pem'\nclient_key_file = 'client.key'\n"
        "[log]\nfile = 'daemon.log'\n"
        f"[[credentials.sessions]]\nid = 'a'\nfiles = [{{ path = '{path}' }}]\n"
    )
    places = Sources(
        path=runtime.parent / "config.toml", runtime=runtime, state=runtime.parent / "state"
    )
    local = LocalValidator(places)
    for validator in (local, FittingValidator(places, local)):
        with pytest.raises(SettingsError) as caught:
            validator.load(Document(text))
        assert str(caught.value) == (
            f"{places.path}:9:12: credentials.sessions[0].files[0].path: the daemon itself "
            "needs this file (give the session a file of its own)"
        )


@pytest.mark.parametrize("name", ["run", "link", "state/../run"])
def test_one_directory_cannot_be_both(tmp_path: Path, name: str) -> None:
    """State is for nobody else, and workers pass through the other."""
    runtime = tmp_path / "run"
    runtime.mkdir()
    (tmp_path / "link").symlink_to("run")
    (tmp_path / "state").mkdir()
    places = Sources(path=tmp_path / "config.toml", runtime=runtime, state=tmp_path / name)
    local = LocalValidator(places)
    for validator in (local, FittingValidator(places, local)):
        with pytest.raises(SettingsError) as caught:
            validator.load(Document(f"[paths]\nstate = '{name}'\n"))
        assert str(caught.value) == (
            f"{places.path}:2:1: paths.state is also paths.runtime: workers could not "
            "reach their files in it, and the token would survive a reboot"
        )
        assert caught.value.hint == "give each a directory of its own"


def test_a_file_beside_those_of_the_daemon_is_the_sessions(runtime: Path) -> None:
    """As where the state directory is all that the service may write."""
    places = Sources(path=Path("/c/config.toml"), runtime=runtime, state=runtime.parent)
    text = f"[[credentials.sessions]]\nid = 'a'\nenv_file = '{runtime.parent}/a.env'\n"
    assert LocalValidator(places).load(Document(text)).credentials.sessions


def test_two_names_of_one_inode_are_two_files(runtime: Path) -> None:
    """A tool that links equal files may not keep a daemon from starting.

    Each is replaced whole, after which it is a file of its own.
    """
    (runtime / "a.env").write_text("")
    os.link(runtime / "a.env", runtime / "b.env")
    _load(runtime, "a.env", "b.env")


@pytest.mark.needs("mount")
def test_a_bind_mount_is_one_directory(runtime: Path) -> None:
    """The kernel identifies the entry, where no path does."""
    elsewhere = runtime.parent / "mounted"
    elsewhere.mkdir()
    script = (
        "import sys; from pathlib import Path;"
        "from rensei_daemon.disk.directories import directory_entry as e;"
        "print(e(Path(sys.argv[1], 'f')) == e(Path(sys.argv[2], 'f')))"
    )
    assert directory_entry(elsewhere / "f") != directory_entry(runtime / "f")
    shell = f'mount --bind {runtime} {elsewhere} && exec "$0" -c "$1" {runtime} {elsewhere}'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shell, sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_a_file_that_somebody_else_made_is_noted(tmp_path: Path) -> None:
    """It would be replaced; one that is not there, or is as the daemon makes it, is not."""
    made = {"passwd": 0o644, "delivered.env": 0o440}
    for name, mode in made.items():
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "link").symlink_to("passwd")
    names = ("passwd", "link", "new.env", "delivered.env", "run/passwd")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/passwd").touch()
    text = "".join(
        f"[[credentials.sessions]]\nid = 's{number}'\nenv_file = '{tmp_path / name}'\n"
        for number, name in enumerate(names)
    )
    places = Sources(
        path=tmp_path / "config.toml", runtime=tmp_path / "run", state=tmp_path / "state"
    )
    settings = LocalValidator(places).load(Document(text))
    user = user_name(os.geteuid())
    assert list(files_in_the_way(settings, places.locations)) == [
        f'session "s0" has a file {tmp_path}/passwd, which exists, of user {user} with '
        "mode 0644: the daemon replaces it by the values",
        f'session "s1" has a file {tmp_path}/link, which exists, of user {user} with '
        "mode 0777: the daemon replaces it by the values",
    ]
