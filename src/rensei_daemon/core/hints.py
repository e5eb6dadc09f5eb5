"""Adapt hints to the daemon that they are about.

Hints are written for the usual host: `rensei-daemon status`, `systemctl restart
rensei-daemon`. A daemon with a configuration file of its own is reached with `--config`,
and one without a unit cannot be restarted by systemctl; this module adapts the commands.
"""

import re
import shlex

from rensei_daemon.fast_dataclass import dataclass

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
    """How commands reach a daemon."""

    config: str | None = None
    """Its configuration file, if commands do not find it by themselves."""
    systemctl: str | None = "systemctl rensei-daemon"
    """`systemctl [--user]` and its unit; None if no unit runs it."""
    pid: int | None = None

    def hint(self, text: str) -> str:
        """Return a hint with the commands that work for this daemon."""
        return _COMMAND.sub(self._command, _SYSTEMCTL.sub(self._service, text))

    def _command(self, found: re.Match[str]) -> str:
        is_named = self.config is not None and found.string.startswith(
            f" {shlex.quote(self.config)}", found.end()
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
