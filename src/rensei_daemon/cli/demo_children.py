"""The processes of the demo: separate from the terminal, watched, and ended with it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from rensei_daemon.errors import RenseiError

END_SECONDS = 10.0
LAST_LINES = 10


class Child:
    """A process of the demo, whose output goes to a file."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], output: Path) -> None:
        self.name = name
        self.process = process
        self._output = output

    def check(self) -> None:
        """Raise RenseiError, with the end of its output, if it has ended."""
        code = self.process.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            message = f"the {self.name} ended too early, with {how}"
            raise RenseiError(message, hint=self.last_words())

    def last_words(self) -> str:
        """Return the end of its output."""
        lines = self._output.read_text(errors="replace")[-4096:].splitlines()
        said = "\n    ".join(lines[-LAST_LINES:]) or "nothing"
        return f"the {self.name} said:\n    {said}"

    def end(self) -> None:
        """End the process; kill it if it does not end in time."""
        self.process.terminate()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def child(
    name: str,
    folder: Path,
    module: Sequence[str],
    environ: Mapping[str, str] = MappingProxyType({}),
    *,
    piped: bool = False,
) -> Iterator[Child]:
    """Run a Python module while the block runs; `environ` is added to the caller's.

    Its output goes to a file, but `piped` standard output to `process.stdout`.
    """
    output = folder / f"{name}.out"
    with output.open("wb") as said:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", *module],
            cwd=folder,
            env=own_environment() | dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for the demo, which ends its processes
        )
    with process:  # whose pipe is closed, too
        started = Child(name, process, output)
        try:
            yield started
        finally:
            started.end()


def own_environment() -> dict[str, str]:
    """Return the caller's environment without variables that lead to another daemon."""
    own = ("RENSEI_", "DONMAI_", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
    return {key: value for key, value in os.environ.items() if not key.startswith(own)}
