"""A session's credentials: compared, versioned and never printed.

The values are in memory and in the deliveries, nowhere else. No repr shows one.
"""

import re
from collections.abc import Mapping

from rensei_daemon.fast_dataclass import dataclass, field

BLOCKED_NAMES = frozenset({
    "RENSEI_DAEMON_JWT", "RENSEI_DAEMON_API_KEY", "RENSEI_RUNTIME_JWT",
    "DONMAI_DAEMON_JWT", "DONMAI_DAEMON_API_KEY", "DONMAI_RUNTIME_JWT",
    "DONMAI_DAEMON_TOKEN", "DONMAI_ORCHESTRATOR_URL",
    "DONMAI_CONTROL_TOKEN", "DONMAI_CONTROL_TOKEN_FILE",
    "M2M_JWT_SECRET", "AUDIT_SIGNING_KEY_PRIVATE", "AUDIT_SIGNING_KEY_PUBLIC",
    "WORKOS_API_KEY", "WORKOS_COOKIE_PASSWORD", "WORKER_API_KEY",
    "CODE_INTEL_HOST_JWT_SECRET",
})  # fmt: skip
"""Names reserved for the platform and its daemons, under all its brands."""

HIJACKING_NAMES = frozenset({
    "PATH", "HOME", "SHELL", "IFS", "ENV", "BASH_ENV", "SHELLOPTS", "BASHOPTS", "PS4",
    "PROMPT_COMMAND", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE",
    "PYTHONBREAKPOINT", "NODE_OPTIONS", "NODE_PATH", "PERL5OPT", "PERL5LIB", "PERL5DB",
    "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS",
    "GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GCONV_PATH", "GLIBC_TUNABLES",
})  # fmt: skip
"""Names that would let a credential change which code a worker runs."""

HIJACKING_PREFIXES = (
    "LD_", "DYLD_", "BASH_FUNC_", "GIT_CONFIG",
    "RENSEI_CREDENTIAL_", "DONMAI_CREDENTIAL_",
)  # fmt: skip

MOST_BYTES = 1024 * 1024
MOST_NAMES = 5000
"""Limits of one session."""

MOST_SHOWN = 128
"""Characters shown of a dropped name, which may be any text."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def is_forbidden(name: str) -> bool:
    """Whether the platform may never set this name in a process on this host."""
    return (
        name in BLOCKED_NAMES
        or name in HIJACKING_NAMES
        or name.startswith(HIJACKING_PREFIXES)
        or _NAME.fullmatch(name) is None
    )


def _is_storable(value: str) -> bool:
    # An environment holds no NUL, and UTF-8 no lone surrogate.
    return _NOT_STORABLE.search(value) is None


def shown_name(name: str) -> str:
    """Return a name as status may show it: shortened, and encodable in UTF-8."""
    cut = name if len(name) <= MOST_SHOWN else f"{name[:MOST_SHOWN]}…"
    return cut.encode(errors="replace").decode()


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a set of values."""

    names: int = 0
    octets: int = 0
    """Of names and values, in UTF-8."""

    @property
    def is_allowed(self) -> bool:
        """Whether one session may hold that much."""
        return self.names <= MOST_NAMES and self.octets <= MOST_BYTES

    def changed(self, env: Mapping[str, str], delta: Mapping[str, str]) -> "Size":
        """Return the size of `env`, which has this size, after `delta` is applied."""
        names, octets = self.names, self.octets
        for name, value in delta.items():
            if name in env:
                octets += _octets(value) - _octets(env[name])
            else:
                names, octets = names + 1, octets + _octets(name) + _octets(value)
        return Size(names, octets)


def size_of(env: Mapping[str, str]) -> Size:
    """Return the size of a set of values."""
    return Size(len(env), sum(_octets(n) + _octets(v) for n, v in env.items()))


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


@dataclass(frozen=True, slots=True)
class FilteredValues:
    """Values that may be delivered, and the names of those that were dropped."""

    env: Mapping[str, str] = field(repr=False)
    dropped: tuple[str, ...]
    """Sorted; shown to operators, who must know why a variable is missing."""


def filter_values(env: Mapping[str, str]) -> FilteredValues:
    """Split values into accepted and dropped."""
    kept = {
        name: value
        for name, value in env.items()
        if not is_forbidden(name) and _is_storable(value)
    }
    return FilteredValues(kept, tuple(sorted(env.keys() - kept.keys())))


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between two sets of values."""

    changed: Mapping[str, str] = field(repr=False)
    """New and changed names, with their new values."""
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.changed or self.removed)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that changed, sorted."""
        return tuple(sorted((*self.changed, *self.removed)))


@dataclass(frozen=True, slots=True)
class Credentials:
    """One generation of a session's values, replaced as a whole."""

    generation: int = 0
    """Increases by one with every change; 0 is the empty set before the first snapshot."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def replaced(self, env: Mapping[str, str]) -> "Credentials":
        """Return the next generation with exactly these values, or self if equal.

        The first set is a generation even if it is empty: consumers wait for it.
        """
        values = dict(env)
        if self.generation and values == self.env:
            return self
        return Credentials(self.generation + 1, values)

    def updated(self, delta: Mapping[str, str]) -> "Credentials":
        """Return the next generation with these values changed, or self if equal."""
        return self.replaced({**self.env, **delta})


def difference(before: Credentials, after: Credentials) -> Difference:
    """Return the difference of two generations' values."""
    return Difference(
        changed={n: v for n, v in after.env.items() if before.env.get(n) != v},
        removed=tuple(sorted(before.env.keys() - after.env.keys())),
    )
