"""What pydantic finds when it looks for plugins: none.

It would search every installed package for code that wants to see what is validated.
Nobody's may see an operator's settings; and the search alone (`importlib.metadata`, with
`zipfile` and `csv` behind it) makes a daemon 0.7 MB larger for its whole life.
"""

import importlib
import sys
from typing import Any

NAME = "pydantic.plugin._loader"
"""The module of pydantic's that this one stands in for."""


def get_plugins() -> tuple[()]:
    """Return no plugin, without a search."""
    return ()


def __getattr__(name: str) -> Any:
    """Make way for the real one, where a pydantic wants more of it than we know of."""
    if name.startswith("__"):
        raise AttributeError(name)  # the import system asks, not pydantic
    if sys.modules.get(NAME) is sys.modules[__name__]:
        del sys.modules[NAME]
    return getattr(importlib.import_module(NAME), name)
