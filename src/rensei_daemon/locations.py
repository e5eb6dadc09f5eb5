"""Finds the daemon's files, in the same way for every command.

This module reads only `[paths]` of the config file, so that `status`, `logs` and `doctor`
find the daemon even if the rest of the file is broken, huge or unreadable. It imports
nothing slow. `$STATE_DIRECTORY` and `$RUNTIME_DIRECTORY` are never read: they belong to
the unit in which a command runs.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from rensei_daemon.core.length_limits import MAX_CONFIG_BYTES
from rensei_daemon.errors import UsageError
from rensei_daemon.fast_dataclass import dataclass, replace

CONFIG_VARIABLE = "RENSEI_DAEMON_CONFIG"
STATE_VARIABLE = "RENSEI_DAEMON_PATHS__STATE"
RUNTIME_VARIABLE = "RENSEI_DAEMON_PATHS__RUNTIME"
LOG_FILES = 3
"""A log and its predecessors."""

_WHOLE_PARSE_CHARACTERS = 32 * 1024
"""Up to this size the whole file is parsed, in milliseconds; beyond, lines are searched."""

_NAME = "rensei-daemon"
_HEADER = re.compile(r"\s*\[")
_PATHS_HEADER = re.compile(r"""\s*\[\s*(paths|"paths"|'paths')\s*\]\s*(#.*)?$""")
_PATHS_KEY = re.compile(r"""\s*(paths|"paths"|'paths')\s*[.=]""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locations:
    """The paths of the config file, the two directories, and every file in them."""

    config: Path
    state: Path
    """Survives a reboot; holds no secret."""
    runtime: Path
    """Does not survive a reboot; should be a tmpfs, and may hold secrets."""
    unit_scope: str | None = None
    """`system` or `user` if the path of the config is that of a systemd unit's."""

    @property
    def systemctl(self) -> str:
        """The command of the service manager of this daemon."""
        return "systemctl --user" if self.unit_scope == "user" else "systemctl"

    @property
    def start_command(self) -> str:
        """The command that starts this daemon, by its unit or by hand."""
        if self.unit_scope is None:
            from shlex import quote  # most commands hint at nothing

            return f"rensei-daemon run --config {quote(str(self.config))}"
        return f"{self.systemctl} start rensei-daemon"

    @property
    def restart_command(self) -> str:
        """The command that restarts this daemon with the installed program."""
        if self.unit_scope is None:
            return f"end it, then: {self.start_command}"
        return f"{self.systemctl} restart rensei-daemon"

    @property
    def control_socket(self) -> Path:
        """The socket of the control API."""
        return self.runtime / "control.sock"

    @property
    def credential_socket(self) -> Path:
        """The socket where workers read the values of their session."""
        return self.runtime / "credentials.sock"

    @property
    def token(self) -> Path:
        """The runtime token."""
        return self.runtime / "token"

    @property
    def journal(self) -> Path:
        """The record of every mutation and change."""
        return self.state / "journal.db"

    @property
    def identity(self) -> Path:
        """The worker id, and the machine id that it was registered for."""
        return self.state / "identity.json"

    @property
    def machine_id(self) -> Path:
        """The machine id, if the operating system has none."""
        return self.state / "machine-id"

    @property
    def status(self) -> Path:
        """The last status, which is shown when the daemon is down."""
        return self.state / "status.json"

    @property
    def log(self) -> Path:
        """The log, if it goes neither to a terminal nor to the journal."""
        return self.state / "log.jsonl"

    @property
    def last_good(self) -> Path:
        """The text of the configuration that was last in force."""
        return self.state / "config.last-good.toml"

    @property
    def last_good_fingerprint(self) -> Path:
        """A fingerprint of that text with the API key it ran with."""
        return self.state / "config.last-good.fingerprint"

    @property
    def lock(self) -> Path:
        """Held by the one daemon that owns this state."""
        return self.state / "lock"

    @property
    def config_lock(self) -> Path:
        """Held while the configuration is edited."""
        return self.config.with_name(self.config.name + ".lock")

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Every file that nobody else may write."""
        runtime = (self.control_socket, self.credential_socket, self.token)
        journal = [f"{self.journal}{suffix}" for suffix in ("", "-wal", "-shm")]
        last_good = (self.last_good, self.last_good_fingerprint)
        of_host = (self.identity, self.machine_id, self.status, self.lock)
        others = [*map(Path, journal), *last_good, *of_host]
        return (self.config, self.config_lock, *runtime, *others, *log_files(self.log))


def log_files(newest: Path, count: int = LOG_FILES) -> tuple[Path, ...]:
    """Return a log and its predecessors, newest first; a link's are beside its file."""
    # Those of Path raise where the caller may not look.
    if os.path.islink(newest) and os.path.isfile(newest):  # noqa: PTH113, PTH114 - as said
        newest = newest.resolve()
    return (newest, *(Path(f"{newest}.{age}") for age in range(1, count)))


def locate(
    *,
    environ: Mapping[str, str],
    uid: int,
    config: Path | None = None,
    root: Path = Path("/"),
) -> Locations:
    """Find the configuration file and the state and runtime directories.

    `config` is the caller's `--config`; `root` is the parent of the system directories.
    Relative paths in the file or the environment start at the directory of the config. A
    file that is absent or unreadable is not an error. Raise `UsageError` as `absolute`
    does.
    """
    system_config = root / "etc" / _NAME / "config.toml"
    user_config = user_config_home(environ) / _NAME / "config.toml"
    chosen = _choose_config(environ, uid, config, system_config, user_config)
    paths = _read_paths(chosen)
    # Their names may be in lower case, as those of all settings.
    variables = {name.upper(): text for name, text in sorted(environ.items()) if text}
    system = uid == 0 or chosen.is_relative_to(root / "etc")
    if system:
        state, runtime = root / "var/lib" / _NAME, root / "run" / _NAME
    else:
        state = user_state_home(environ) / _NAME
        runtime = _user_runtime(environ, uid, state, root)
    scopes = {user_config: "user", system_config: "system"}
    return Locations(
        config=chosen,
        state=_pick(variables.get(STATE_VARIABLE), paths.get("state"), chosen) or state,
        runtime=_pick(variables.get(RUNTIME_VARIABLE), paths.get("runtime"), chosen)
        or runtime,
        unit_scope=scopes.get(chosen),
    )


def in_force(found: Locations) -> Locations:
    """Return the locations of the running daemon, which may differ from the config's.

    The daemon has written them into the lock file beside the config, because the config
    may have been removed or changed since.
    """
    if may_exist(found.control_socket):
        return found
    last = remembered(found)
    return last if last is not None and may_exist(last.control_socket) else found


def remembered(found: Locations) -> Locations | None:
    """Return the locations of the last daemon with this configuration, if it left them."""
    paths = _read_paths(found.config_lock)
    state, runtime = paths.get("state"), paths.get("runtime")
    if isinstance(state, str) and isinstance(runtime, str):
        return replace(found, state=Path(state), runtime=Path(runtime))
    return None


def is_named_in(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where the runtime directory is."""
    return any(name.upper() == RUNTIME_VARIABLE and environ[name] for name in environ)


def user_config_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of a user's configuration."""
    return _xdg(environ, "XDG_CONFIG_HOME", ".config")


def user_state_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of a user's state files."""
    return _xdg(environ, "XDG_STATE_HOME", ".local/state")


def user_data_home(environ: Mapping[str, str]) -> Path:
    """Return the directory of a user's data files."""
    return _xdg(environ, "XDG_DATA_HOME", ".local/share")


def _choose_config(
    environ: Mapping[str, str],
    uid: int,
    asked: Path | None,
    system_config: Path,
    user_config: Path,
) -> Path:
    if asked is not None:
        return absolute(asked)
    if named := environ.get(CONFIG_VARIABLE):
        return absolute(named)
    if uid == 0 or may_exist(system_config):
        return system_config
    return user_config


def absolute(path: Path | str) -> Path:
    """Return a path from the root, with links as they are.

    Raise `UsageError` if it is relative and the working directory has been removed.
    """
    try:
        return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link that an atomic replace must not
    except FileNotFoundError:
        raise UsageError(
            f"{path} is relative, and the working directory has been removed",
            hint="name it from the root, or: cd /",
        ) from None


def may_exist(path: Path) -> bool:
    """Whether a file exists, or may exist in a directory that we may not enter."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _xdg(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    named = Path(environ.get(variable, ""))
    # The XDG specification requires relative values to be ignored.
    return named if named.is_absolute() else _home(environ) / below_home


def _home(environ: Mapping[str, str]) -> Path:
    """Return the user's home: that of HOME, else of the host's database, else the root."""
    named = Path(environ.get("HOME", ""))
    if named.is_absolute():
        return named
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # in a container a user may have only a number
        return Path("/")


def _user_runtime(environ: Mapping[str, str], uid: int, state: Path, root: Path) -> Path:
    named = Path(environ.get("XDG_RUNTIME_DIR", ""))
    if named.is_absolute():
        return named / _NAME
    # Under cron or `su` there is no XDG_RUNTIME_DIR, but often the directory exists. A
    # shared /tmp is no substitute: another user could have created our name there.
    login = root / "run/user" / str(uid)
    return login / _NAME if login.is_dir() else state / "run"


def _pick(variable: str | None, key: object, config: Path) -> Path | None:
    for named in (variable, key):
        if isinstance(named, str) and named:
            return config.parent / named
    return None


def _read_paths(config: Path) -> Mapping[str, object]:
    try:
        # Without O_NONBLOCK, opening a FIFO at this path would block every command.
        descriptor = os.open(config, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(MAX_CONFIG_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return {}
    return find_paths(text)


def find_paths(text: str) -> Mapping[str, object]:
    """Return the `[paths]` table of a config text, even if the rest is not TOML."""
    if "paths" not in text:
        return {}
    if len(text) <= _WHOLE_PARSE_CHARACTERS:
        tree = _parse(text)
        if tree is not None:
            return _table(tree)
    return _find_by_text(text)


def _find_by_text(text: str) -> Mapping[str, object]:
    found: dict[str, object] = {}
    table: str | None = ""
    for line in text.splitlines():
        if _HEADER.match(line):
            table = "[paths]\n" if _PATHS_HEADER.match(line) else None
        elif table or (table == "" and _PATHS_KEY.match(line)):
            found.update(_table(_parse(f"{table}{line}") or {}))
    return found


def _parse(text: str) -> Mapping[str, object] | None:
    import tomllib  # takes 3 ms, which configs without [paths] need not spend

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def _table(tree: Mapping[str, object]) -> Mapping[str, object]:
    paths = tree.get("paths")
    return paths if isinstance(paths, dict) else {}
