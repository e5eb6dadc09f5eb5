"""The hook: a program of the operator's that runs after each rotation.

It gets the names that changed, never a value: it reads values from its file or the
credential socket. It gets nothing else of the daemon's environment.
"""

import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from os import geteuid
from pathlib import Path

import anyio
import anyio.to_thread
import structlog

from rensei_daemon.core.credential import Credentials, Difference
from rensei_daemon.core.file_content import FileContent
from rensei_daemon.core.health import ConsumerHealth, Proof
from rensei_daemon.core.scrub import MOST_TEXT_BYTES, SEARCHED_BYTES, Scrubber
from rensei_daemon.core.start_error import explain_start_error
from rensei_daemon.delivery.delivery_protocol import Delivery, ignore_uptake
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.delivery.run_program import ProgramResult, run_program
from rensei_daemon.delivery.turns import Turns
from rensei_daemon.errors import DeliveryError, StorageError
from rensei_daemon.fast_dataclass import dataclass, field, replace

AT_ONCE = 4
"""Hooks that run at the same time on this host, over all sessions."""
SECONDS = 30.0
MOMENT_SECONDS = 0.02
"""Before a start, which stops the event loop for a millisecond or more: a rotation may
reach 50 sessions, and none of them should wait for the hook of another one."""
RETRY_SECONDS = (1.0, 5.0, 25.0)
NAMES_BYTES = 64 * 1024
"""Limit of the changed names; the kernel starts no program with a string above 128 KiB."""

USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookResources:
    """What all hooks of a daemon share."""

    environ: Mapping[str, str] = field(repr=False)
    """The daemon's environment; three of its variables are passed on."""
    scrub: Scrubber
    slots: anyio.CapacityLimiter = field(
        default_factory=lambda: anyio.CapacityLimiter(AT_ONCE)
    )
    turns: Turns = field(default_factory=Turns)
    """Of the files in memory: they are written before hooks start."""
    seconds: float = SECONDS


class Hook:
    """A session's `on_rotate` program."""

    kind = "hook"
    retries = RETRY_SECONDS
    takes_turns = False

    def __init__(
        self,
        argv: Sequence[str],
        *,
        session_id: str,
        name: str = "",
        env_file: Path | None,
        content: FileContent = FileContent(),  # noqa: B008 - immutable
        after: Delivery | None,
        record: HookRecord | None = None,
        splay_seconds: float = 0.0,
        resources: HookResources,
    ) -> None:
        """`after` is the delivery that writes `env_file`, whose content this is.

        `name` is the program's by default; two hooks of a session have two names.
        `record` stores what the hook has run for: a run that a restart interrupted
        is repeated.
        """
        self.on_uptake: Callable[[], None] = ignore_uptake
        self.after = after
        self.splay_seconds = splay_seconds
        self._record = record
        self._argv = argv
        self._session_id = session_id
        self._name = name or argv[0]
        self._env_file = env_file
        self._content = content
        self._resources = resources
        self._line = ConsumerHealth(kind=self.kind, name=self.name, proof=Proof.CONFIRMED)

    @property
    def name(self) -> str:
        """The program, and what it runs after if it is not the session's only run."""
        return self._name

    @property
    def consumers(self) -> tuple[ConsumerHealth, ...]:
        """The hook itself."""
        return (self._line,)

    def deliver_at_once(self, credentials: Credentials) -> None:
        """Return None: a program cannot run without waiting."""

    async def deliver(self, credentials: Credentials, difference: Difference) -> bool:
        """Run the program to its end; raises `DeliveryError` if it fails or times out."""
        await anyio.sleep(MOMENT_SECONDS)
        async with self._resources.slots:
            await self._resources.turns.wait_idle()
            changes = self._record.changes if self._record is not None else 0
            started = time.monotonic()
            ended = await self._run(self._environment(credentials.generation, difference))
        seconds = time.monotonic() - started
        self._tell(ended, credentials.generation, seconds)
        if ended.left_pid is not None:
            raise self._error(
                f"did not end within {self._resources.seconds:g} s, and could not be "
                f"killed: pid {ended.left_pid} is another user's, or stuck in the kernel"
            )
        if ended.exit_code is None:
            raise self._error(f"did not end within {self._resources.seconds:g} s")
        if ended.exit_code < 0:
            raise self._error(f"was ended by signal {-ended.exit_code}")
        if ended.exit_code > 0:
            raise self._error(f"ended with exit code {ended.exit_code}")
        self._note(credentials)
        if self._record is not None:
            with suppress(StorageError):  # then it runs again after a restart
                await anyio.to_thread.run_sync(self._record.write, credentials, changes)
        self.on_uptake()
        return True

    def confirm(self, credentials: Credentials) -> None:
        """Note that the program has run for these values before a restart."""
        self._note(credentials)
        self.on_uptake()

    def _note(self, credentials: Credentials) -> None:
        self._line = replace(self._line, generation=credentials.generation)

    async def check(self, credentials: Credentials) -> str:  # noqa: ARG002 - it has run
        """Return an empty text: a run cannot be undone."""
        return ""

    async def withdraw(self) -> None:
        """Do nothing: a program leaves nothing behind."""
        if self._record is not None:
            with suppress(StorageError):
                await anyio.to_thread.run_sync(self._record.remove)

    async def _run(self, environment: Mapping[str, str]) -> ProgramResult:
        try:
            return await run_program(
                self._argv,
                environment,
                seconds=self._resources.seconds,
                keep_bytes=SEARCHED_BYTES,
            )
        except (OSError, ValueError) as error:
            raise DeliveryError(
                f"hook {self.name} cannot be run: {explain_start_error(error)}",
                hint=f"look at it as the daemon's user: ls -l {self._argv[0]}",
            ) from None

    def _environment(self, generation: int, difference: Difference) -> dict[str, str]:
        environ = self._resources.environ
        changed = [name for name in difference.names if self._content.has(name)]
        names, is_cut = join_within(changed, NAMES_BYTES)
        cut = {"RENSEI_CHANGED_NAMES_CUT": "1"} if is_cut else {}
        return {
            "PATH": environ.get("PATH") or USUAL_PATH,
            "HOME": environ.get("HOME") or _home(),
            "LANG": environ.get("LANG") or "C.UTF-8",
            "RENSEI_SESSION_ID": self._session_id,
            "RENSEI_GENERATION": str(generation),
            "RENSEI_CHANGED_NAMES": names,
            **cut,
            "RENSEI_ENV_FILE": "" if self._env_file is None else str(self._env_file),
        }

    def _error(self, what: str) -> DeliveryError:
        return DeliveryError(
            f"hook {self.name} {what}",
            hint=f"see its output: rensei-daemon logs --session {self._session_id}",
        )

    def _tell(self, ended: ProgramResult, generation: int, seconds: float) -> None:
        _log.info(
            "hook.ended",
            session_id=self._session_id,
            program=self._argv[0],
            generation=generation,
            exit_code=ended.exit_code,
            seconds=round(seconds, 3),
            output=self._shown(ended),
        )

    def _shown(self, ended: ProgramResult) -> str:
        """Return the last 64 KiB of the output, and how much there was before it."""
        end = self._resources.scrub(ended.output.decode(errors="replace"), keep_end=True)
        omitted = ended.omitted_bytes + len(ended.output) - MOST_TEXT_BYTES
        return f"[{omitted} bytes omitted]\n{end}" if omitted > 0 else end


def join_within(names: Sequence[str], most_bytes: int) -> tuple[str, bool]:
    """Join as many ASCII names as fit with spaces; return whether some were left out."""
    text = " ".join(names)
    if len(text) <= most_bytes:
        return text, False
    # The space after the last whole name; it may be right behind the limit.
    end = text.rfind(" ", 0, most_bytes + 1)
    return text[: max(end, 0)], True


def _home() -> str:
    try:
        return pwd.getpwuid(geteuid()).pw_dir
    except KeyError:
        return "/"
