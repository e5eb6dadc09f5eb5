"""Column types that mean the same on every database."""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

from rensei_platform.rules.times import from_milliseconds, to_milliseconds


class Time(TypeDecorator[datetime]):
    """An aware UTC time, kept as whole milliseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the milliseconds."""
        return None if value is None else to_milliseconds(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the time."""
        return None if value is None else from_milliseconds(value)


class JsonText(TypeDecorator[Any]):
    """A JSON value, kept as ASCII text: NUL and lone surrogates stay escaped in it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the text; NULL for None."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's signature
        """Return the value."""
        return None if value is None else json.loads(value)
