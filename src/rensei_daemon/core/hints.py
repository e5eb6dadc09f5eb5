"""Hints, said for the one daemon that they are about.

A hint is written for the usual host: `rensei-daemon status`, `systemctl restart
rensei-daemon`. A daemon with a file of its own is reached with `--config`, and one that
no unit runs cannot be restarted by systemctl; that is put right here, in one place.
"""

import re
import shlex
from dataclasses import dataclass

_COMMAND = re.compile(
    r"\brensei-daemon (?:"
    r"(?:config|mutations|credentials|access) [a-z]+|"
    r"status|logs|doctor|reload|sync|exec|metrics|run"
    r")\b(?! --config)"
)
_SYSTEMCTL = re.compile(
    r"\bsystemctl(?: --user)? (start|restart|stop|reload) rensei-daemon(?:\.service)?\b"
)


@dataclass(frozen=True, slots=True)
class DaemonAddress:
    """How the daemon that a hint is about is reached."""

    config: str | None = None
    """Its file, where commands do not find it by themselves."""
    systemctl: str | None = "systemctl rensei-daemon"
    """`systemctl [--user]` and the unit that runs it; None when no unit does."""
    pid: int | None = None

    def hint(self, text: str) -> str:
        """Return a hint in the words that work for this daemon; those that do stay."""
        return _COMMAND.sub(self._command, _SYSTEMCTL.sub(self._service, text))

    def _command(self, found: re.Match[str]) -> str:
        is_named = self.config is not None and found.string.startswith(
            f" {self.config}", found.end()
        )
        if self.config is None or is_named:
            return found[0]
        return f"{found[0]} --config {shlex.quote(self.config)}"

    def _service(self, found: re.Match[str]) -> str:
        if self.systemctl is not None:
            manager, _, unit = self.systemctl.rpartition(" ")
            return f"{manager} {found[1]} {unit}"
        end = f"end the daemon (kill {self.pid})" if self.pid else "end the daemon"
        match found[1]:
            case "start":
                return "rensei-daemon run"
            case "stop":
                return end
            case "reload":
                return "rensei-daemon reload"
            case _:
                return f"{end}, then: rensei-daemon run"
