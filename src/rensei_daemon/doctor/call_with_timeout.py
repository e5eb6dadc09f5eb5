"""Calls that may hang and cannot be cancelled."""

import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def call_with_timeout(seconds: float, call: Callable[[], _T]) -> _T:
    """Return or raise what a call does; `TimeoutError` if it takes longer than this.

    The call then continues in a thread that nobody waits for.
    """
    answers: list[_T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            answers.append(call())
        except Exception as error:  # noqa: BLE001 - it is raised in the calling thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise TimeoutError
    return answers[0]
