"""Where every command looks for the files of the daemon."""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from privileges import as_nobody

from rensei_daemon.disk.config_lock import ConfigLock
from rensei_daemon.locations import Locations, find_paths, in_force, locate

HOME = {"HOME": "/home/op"}


def system_config(root: Path, text: str = "") -> Path:
    """Put a system config below a root."""
    path = root / "etc/rensei-daemon/config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_root(tmp_path: Path) -> None:
    """Root uses the system's paths, even if there is no config."""
    found = locate(environ=HOME, uid=0, root=tmp_path)
    assert found.config == tmp_path / "etc/rensei-daemon/config.toml"
    assert found.state == tmp_path / "var/lib/rensei-daemon"
    assert found.runtime == tmp_path / "run/rensei-daemon"
    assert found.unit_scope == "system"


def test_user_of_a_system_daemon(tmp_path: Path) -> None:
    """A user on a host with a system config gets the system daemon."""
    config = system_config(tmp_path)
    found = locate(environ=HOME, uid=1000, root=tmp_path)
    assert found.config == config
    assert found.state == tmp_path / "var/lib/rensei-daemon"
    assert found.runtime == tmp_path / "run/rensei-daemon"


def test_user_alone(tmp_path: Path) -> None:
    """Without a system config a user gets the paths of the XDG variables."""
    environ = {
        "XDG_CONFIG_HOME": "/c",
        "XDG_STATE_HOME": "/s",
        "XDG_RUNTIME_DIR": "/r",
    }
    found = locate(environ=environ, uid=1000, root=tmp_path)
    assert found.config == Path("/c/rensei-daemon/config.toml")
    assert found.state == Path("/s/rensei-daemon")
    assert found.runtime == Path("/r/rensei-daemon")
    assert found.unit_scope == "user"


def test_user_without_variables(tmp_path: Path) -> None:
    """Without XDG variables the paths are below HOME, never below /tmp."""
    found = locate(environ=HOME, uid=1000, root=tmp_path)
    assert found.config == Path("/home/op/.config/rensei-daemon/config.toml")
    assert found.state == Path("/home/op/.local/state/rensei-daemon")
    assert found.runtime == Path("/home/op/.local/state/rensei-daemon/run")


@pytest.mark.parametrize("environ", [{}, {"HOME": ""}, {"HOME": "not/absolute"}])
def test_user_without_home(tmp_path: Path, environ: dict[str, str]) -> None:
    """As under `env -i`: the home of the host's database; no path is a relative one."""
    found = locate(environ=environ, uid=1000, root=tmp_path)
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert found.config == home / ".config/rensei-daemon/config.toml"
    assert found.state == home / ".local/state/rensei-daemon"


@pytest.mark.needs("root")
def test_user_without_home_or_name() -> None:
    """In a container a user may have only a number."""
    program = (
        "import os; from pathlib import Path; from rensei_daemon.locations import locate\n"
        "os.setuid(4242)  # who may not read a checkout below /root\n"
        "print(locate(environ={}, uid=4242, root=Path('/nowhere')).config)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "/.config/rensei-daemon/config.toml\n"


def test_login_directory(tmp_path: Path) -> None:
    """The login's runtime directory is used if only its variable is missing."""
    (tmp_path / "run/user/1000").mkdir(parents=True)
    found = locate(environ=HOME, uid=1000, root=tmp_path)
    assert found.runtime == tmp_path / "run/user/1000/rensei-daemon"


def test_relative_xdg(tmp_path: Path) -> None:
    """A relative XDG variable is ignored, as the specification requires."""
    found = locate(environ=HOME | {"XDG_STATE_HOME": "s"}, uid=1, root=tmp_path)
    assert found.state == Path("/home/op/.local/state/rensei-daemon")


def test_config_option_wins(tmp_path: Path) -> None:
    """`--config` takes precedence over the variable, and is made absolute."""
    environ = HOME | {"RENSEI_DAEMON_CONFIG": "/elsewhere.toml"}
    found = locate(environ=environ, uid=1, config=Path("c.toml"), root=tmp_path)
    assert found.config == Path.cwd() / "c.toml"
    assert found.unit_scope is None


def test_config_variable(tmp_path: Path) -> None:
    """`$RENSEI_DAEMON_CONFIG` takes precedence over the system's config."""
    system_config(tmp_path)
    environ = HOME | {"RENSEI_DAEMON_CONFIG": "/elsewhere.toml"}
    assert locate(environ=environ, uid=0, root=tmp_path).config == Path("/elsewhere.toml")


def test_config_below_etc(tmp_path: Path) -> None:
    """A config below /etc implies the system's directories."""
    config = tmp_path / "etc/other/config.toml"
    found = locate(environ=HOME, uid=1000, config=config, root=tmp_path)
    assert found.state == tmp_path / "var/lib/rensei-daemon"
    assert found.unit_scope is None


def test_unit_variables(tmp_path: Path) -> None:
    """The directories of the unit in which a command runs are ignored."""
    environ = {"STATE_DIRECTORY": "/x", "RUNTIME_DIRECTORY": "/y"}
    found = locate(environ=environ, uid=0, root=tmp_path)
    assert found.state == tmp_path / "var/lib/rensei-daemon"
    assert found.runtime == tmp_path / "run/rensei-daemon"


def test_paths_table(tmp_path: Path) -> None:
    """`[paths]` names both directories; relative ones start at the config's directory."""
    config = tmp_path / "config.toml"
    config.write_text('[paths]\nstate = "state"\nruntime = "/run/x"\n')
    found = locate(environ=HOME, uid=0, config=config, root=tmp_path)
    assert found.state == tmp_path / "state"
    assert found.runtime == Path("/run/x")


@pytest.mark.parametrize("spelled", [str.upper, str.lower])
def test_paths_variables(tmp_path: Path, spelled: Callable[[str], str]) -> None:
    """The variables take precedence over `[paths]`; an empty one is ignored."""
    config = tmp_path / "config.toml"
    config.write_text('[paths]\nstate = "state"\nruntime = "/run/x"\n')
    environ = {
        spelled("RENSEI_DAEMON_PATHS__STATE"): "/v",
        spelled("RENSEI_DAEMON_PATHS__RUNTIME"): "",
    }
    found = locate(environ=environ, uid=0, config=config, root=tmp_path)
    assert found.state == Path("/v")
    assert found.runtime == Path("/run/x")


def test_fifo_config(tmp_path: Path) -> None:
    """A config that is a FIFO does not block."""
    config = tmp_path / "config.toml"
    os.mkfifo(config)
    found = locate(environ=HOME, uid=0, config=config, root=tmp_path)
    assert found.state == tmp_path / "var/lib/rensei-daemon"


def test_directory_config(tmp_path: Path) -> None:
    """A config that cannot be read names no paths."""
    found = locate(environ=HOME, uid=0, config=tmp_path, root=tmp_path)
    assert found.runtime == tmp_path / "run/rensei-daemon"


@pytest.mark.needs("root")
def test_hidden_system_config(tmp_path: Path) -> None:
    """A system config in a directory that the user may not enter is still used."""
    config = system_config(tmp_path)
    config.parent.chmod(0o700)
    for parent in [*list(tmp_path.parents)[:2], tmp_path]:
        parent.chmod(0o755)
    with as_nobody():
        found = locate(environ=HOME, uid=65534, root=tmp_path)
    assert found.config == config


BROKEN = "x = = 1\n"


@pytest.mark.parametrize(
    "text",
    [
        '[paths]\nstate = "/s"\n',
        'paths = { state = "/s" }\n',
        'paths.state = "/s"\n',
        BROKEN + '[paths] # here\nstate = "/s" # there\n[log]\nstate = "/no"\n',
        BROKEN + '[ "paths" ]\r\nstate = "/s"\r\n',
        'paths.state = "/s"\n' + BROKEN,
        '[paths]\nnonsense\nstate = "/s"\n',
        "[projects]\n" + 'p = { repositories = ["r"] }\n' * 9000 + '[paths]\nstate="/s"',
        "a = " + "[" * 9999 + '\n[paths]\nstate = "/s"\n',
    ],
)
def test_find_paths(text: str) -> None:
    """`[paths]` is found in any spelling, with any text around it."""
    assert find_paths(text) == {"state": "/s"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        '# [paths]\n# state = "/s"\n',
        "paths = 3\n",
        '[other]\npaths.state = "/s"\n',
        '[a.paths]\nstate = "/s"\n' + BROKEN,
        'text = """\n[paths]\nstate = "/s"\n"""\n',
    ],
)
def test_no_paths(text: str) -> None:
    """Text that only resembles `[paths]` is ignored."""
    assert find_paths(text) == {}


def test_files() -> None:
    """Every file has its fixed path."""
    found = locate(environ=HOME, uid=0, config=Path("/c/config.toml"), root=Path("/r"))
    state, runtime = Path("/r/var/lib/rensei-daemon"), Path("/r/run/rensei-daemon")
    assert found.control_socket == runtime / "control.sock"
    assert found.credential_socket == runtime / "credentials.sock"
    assert found.token == runtime / "token"
    assert found.journal == state / "journal.db"
    assert found.identity == state / "identity.json"
    assert found.status == state / "status.json"
    assert found.log == state / "log.jsonl"
    assert found.lock == state / "lock"
    assert found.config_lock == Path("/c/config.toml.lock")


def test_import_is_light() -> None:
    """The module imports nothing slow."""
    program = (
        "import sys, rensei_daemon.locations;"
        "print([m for m in ('pydantic', 'httpx', 'anyio', 'structlog', 'click')"
        " if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("text", [None, "", "[paths]\nruntime = 'elsewhere'\n"])
def test_a_daemon_is_found_where_it_runs(tmp_path: Path, text: str | None) -> None:
    """A running daemon is found even if its config was removed or changed."""
    config = tmp_path / "config.toml"
    runtime, state = tmp_path / 'r "un', tmp_path / "state"
    runtime.mkdir()
    (runtime / "control.sock").touch()
    ConfigLock(config).remember(state=state, runtime=runtime)
    if text is not None:
        config.write_text(text)
    found = in_force(locate(environ=HOME, uid=1000, config=config, root=tmp_path))
    assert (found.config, found.state, found.runtime) == (config, state, runtime)


def test_where_a_daemon_is_no_more_is_not_believed(tmp_path: Path) -> None:
    """After a daemon has stopped, only the config counts."""
    config = tmp_path / "config.toml"
    ConfigLock(config).remember(state=tmp_path / "s", runtime=tmp_path / "r")
    found = locate(environ=HOME, uid=1000, config=config, root=tmp_path)
    assert in_force(found) is found


def test_paths_behind_a_byte_order_mark(tmp_path: Path) -> None:
    """Some editors write one."""
    config = tmp_path / "config.toml"
    config.write_text("\ufeff[paths]\nstate = '/s'\n")
    assert locate(environ=HOME, uid=1000, config=config, root=tmp_path).state == Path("/s")


def test_every_file_is_the_daemons_own(tmp_path: Path) -> None:
    """No session may have one of them as its file."""
    located = Locations(config=tmp_path / "c", state=tmp_path / "s", runtime=tmp_path / "r")
    named = [getattr(located, name) for name in vars(Locations) if not name.startswith("_")]
    files = {value for value in named if isinstance(value, Path)}
    assert files - set(located.own_files) == {located.state, located.runtime}
