"""Statements that are compiled once a process, for all the databases of its tests.

SQLAlchemy compiles a statement once for each engine, and each test has engines of its own:
a third of what its server costs.
"""

from typing import Any

from sqlalchemy import Connection, Engine, event

_Key = tuple[Any, ...]
"""Begins with the dialect, an object of its engine."""


class _Compiled(dict[_Key, Any]):
    """What was compiled, by the kind of dialect instead of the engine's own."""

    def get(self, key: _Key, default: Any = None) -> Any:
        return super().get((type(key[0]), *key[1:]), default)

    def __setitem__(self, key: _Key, compiled: Any) -> None:
        super().__setitem__((type(key[0]), *key[1:]), compiled)


_COMPILED = _Compiled()


def share() -> None:
    """Have every engine of this process use what another one has compiled."""
    event.listen(Engine, "engine_connect", _use_shared)


def _use_shared(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_COMPILED)
