"""The pytest plugin that does not look for garbage while the tests are collected.

Some million objects come into being then, nearly all of them to stay, and the collector
would go through them again and again: nearly half of the time it takes. They are then left
out of its later searches.
"""

import gc
from collections.abc import Generator

import pytest

gc.disable()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect garbage from here on, of what comes from here on."""
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
