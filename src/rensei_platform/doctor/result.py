"""What a check has found."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from rensei_platform.errors import PlatformError

State = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the doctor's."""

    name: str
    state: State
    message: str
    hint: str = ""


Results = Iterator[Result]
AsyncResults = AsyncIterator[Result]


def failed(name: str, error: PlatformError) -> Result:
    """Return the line of a check that could not be made."""
    return Result(name, "error", str(error), error.hint)


@contextmanager
def reported(name: str, found: list[Result]) -> Iterator[None]:
    """Add the line of an error that the block raises."""
    try:
        yield
    except PlatformError as error:
        found.append(failed(name, error))
