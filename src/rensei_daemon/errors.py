"""The errors of this package, by who has to act on them.

::

    RenseiError                  .hint: what to do next; .exit_code: what the shell sees
    ├─ UsageError            64  the caller: the command line is wrong
    ├─ SettingsError         78  the operator: the file or the environment is wrong
    │  └─ UncheckedError      1     nobody: try again; the process that checks it died
    ├─ StateInUseError       75  the operator: another daemon holds this state
    ├─ NotInTimeError        75  nobody: start it again later
    ├─ NotPermittedError     77  the operator: this user may not do that here
    ├─ NotRunnableError     126  the caller of `exec`: the command cannot be started
    │  └─ NotFoundError     127  there is no such command
    ├─ MutationError             nobody: the answer is a failed outcome, with this text
    │  ├─ UnknownOperationError     an op this daemon does not know
    │  ├─ InvalidMutationError      params missing, mistyped or out of vocabulary
    │  ├─ ForbiddenMutationError    a guard of this host forbids it
    │  └─ ConflictingMutationError  the current text does not allow the edit
    ├─ PlatformError         69
    │  ├─ TransientError         nobody: try again (no connection, 5xx, 429, garbage)
    │  ├─ UnauthorizedError  77  the operator, once a fresh key and token did not help
    │  └─ RefusedError           us: another 4xx; .status and .detail say which
    ├─ StorageError           1  the operator: disk full, read-only, wrong owner
    ├─ DeliveryError          1  the operator: a consumer did not get its credentials
    └─ ControlError           1
       ├─ DaemonNotRunningError  3  the operator: start it
       ├─ DaemonSilentError      2  the operator: it runs, but does not answer
       └─ ControlRefusedError    1  the daemon refused, and says why

The docstring of a class is its default message. No message, hint or cause may contain a
secret: code that raises one of these with foreign text redacts the text first.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar

from rensei_daemon.fast_dataclass import dataclass


class Failure(StrEnum):
    """The kind of a failure, in one word, to tell one cause from another."""

    UNREACHABLE = "unreachable"
    """No connection: name, network, proxy, TLS."""
    TLS_REFUSED = "tls.refused"
    """The platform does not accept our certificate, or wants one."""
    CERTIFICATE_DATES = "certificate.dates"
    """No connection: the certificate is not valid today, by this host's clock."""
    TIMEOUT = "timeout"
    """The connection was made, but no answer came in time."""
    BROKEN = "broken"
    """A connection that broke or ended."""
    UNAVAILABLE = "unavailable"
    """The platform asks to try again: 5xx, 408, 425, 429."""
    OVERSIZED = "oversized"
    """The answer is larger than 16 MiB; none of it was read."""
    NONSENSE = "nonsense"
    """An answer that cannot be used."""
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    """403: the platform knows us and refuses."""
    REFUSED = "refused"
    """Another 4xx, or a 204 that means "nothing here"."""
    TOO_LARGE = "session.too_large"
    """More values than one session may hold."""
    STORAGE = "storage"
    """Not the platform: a local disk failed."""

    @property
    def exit_code(self) -> int:
        """The exit code of a command for which the daemon met this failure."""
        match self:
            case Failure.UNAUTHORIZED | Failure.FORBIDDEN:
                return NotPermittedError.exit_code
            case Failure.REFUSED | Failure.TOO_LARGE | Failure.STORAGE:
                return RenseiError.exit_code
            case _:
                return PlatformError.exit_code


class RenseiError(Exception):
    """Something went wrong."""

    exit_code: ClassVar[int] = 1
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.hint = hint or self.default_hint


class UsageError(RenseiError):
    """The command line asks for something impossible."""

    exit_code = 64
    default_hint = "see what the command takes: the same with --help"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of the configuration and its place.

    Printed in one line: `config.toml:12:3: unknown key "regin" (did you mean
    "region"?)`.
    """

    message: str
    hint: str = ""
    """The likely correction."""
    key: str | None = None
    """The dotted key; for a problem outside the file, the environment variable or option.
    """
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return the line as `file:line:column: message`, which editors can follow."""
        place = self.key if self.file is None else self.file
        if self.line is not None:
            place = f"{place}:{self.line}:{self.column}"
        text = f"{self.message} ({self.hint})" if self.hint else self.message
        return text if place is None else f"{place}: {text}"


class SettingsError(RenseiError):
    """The configuration cannot be used."""

    exit_code = 78

    def __init__(
        self, message: str = "", *, hint: str = "", problems: Sequence[Problem] = ()
    ) -> None:
        super().__init__(message or "\n".join(map(str, problems)), hint=hint)
        self.problems = tuple(problems)
        """Every problem, when there is more to say than the message."""


class UncheckedError(SettingsError):
    """The configuration could not be checked."""

    exit_code = 1
    default_hint = "see whether memory is short: free -m; it is tried again"


class StateInUseError(RenseiError):
    """Another daemon holds this state directory."""

    exit_code = 75


class NotInTimeError(RenseiError):
    """What is waited for did not come in time; a later attempt may succeed."""

    exit_code = 75


class NotPermittedError(RenseiError):
    """Not permitted."""

    exit_code = 77


class NotRunnableError(RenseiError):
    """The command cannot be started."""

    exit_code = 126


class NotFoundError(NotRunnableError):
    """There is no such command."""

    exit_code = 127


class MutationError(RenseiError):
    """The mutation cannot be applied."""

    default_hint = "see what may be asked for: rensei-daemon mutations ops"


class UnknownOperationError(MutationError):
    """The op is not one this daemon knows."""


class InvalidMutationError(MutationError):
    """The params are not what the op asks for."""


class ForbiddenMutationError(MutationError):
    """A guard of this host forbids the mutation."""


class ConflictingMutationError(MutationError):
    """Today's text does not allow the edit."""


class PlatformError(RenseiError):
    """The platform did not do what it was asked."""

    exit_code = 69
    failure: Failure = Failure.NONSENSE


class TransientError(PlatformError):
    """The platform cannot be reached, or does not answer sensibly."""

    default_hint = "try again in a while; if it stays so, see: rensei-daemon doctor"

    def __init__(
        self,
        message: str = "",
        *,
        hint: str = "",
        retry_after: float | None = None,
        failure: Failure = Failure.NONSENSE,
    ) -> None:
        super().__init__(message, hint=hint)
        self.failure = failure
        self.retry_after = retry_after
        """Seconds to wait, if the platform asked for a wait."""


class UnauthorizedError(PlatformError):
    """The platform does not accept our key or token."""

    exit_code = 77
    default_hint = "the API key or token is not accepted; was it revoked or replaced?"
    failure = Failure.UNAUTHORIZED


class RefusedError(PlatformError):
    """The platform refused the request."""

    def __init__(
        self, message: str = "", *, status: int, detail: str, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.failure = Failure.FORBIDDEN if status == 403 else Failure.REFUSED
        self.status = status
        """The HTTP status."""
        self.detail = detail
        """The platform's own message, at most 2 KiB of it."""


class StorageError(RenseiError):
    """A file of ours cannot be read or written."""

    failure: ClassVar[Failure] = Failure.STORAGE


class DeliveryError(RenseiError):
    """A consumer did not get its credentials."""


class ControlError(RenseiError):
    """The daemon on this host did not do what it was asked."""


class DaemonNotRunningError(ControlError):
    """The daemon is not running."""

    exit_code = 3
    default_hint = "start it: systemctl start rensei-daemon"


class DaemonSilentError(ControlError):
    """The daemon runs but does not answer."""

    exit_code = 2
    default_hint = "see what holds it: rensei-daemon logs -n 50"


class ControlRefusedError(ControlError):
    """The daemon refused the request."""
