"""Connections of a pool that the server has ended while they were idle.

After a restart of PostgreSQL every pooled connection is closed at its other end. The kernel
knows: nothing is to be read on an idle connection but its end, or the server's word that it
is going. So each is looked at before it is lent, which costs no round trip as a ping would.
"""

import select
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

_WAS_LENT = "was lent"


def replace_ended(engine: AsyncEngine) -> None:
    """Have a pool lend a new connection instead of one that has ended."""
    event.listen(engine.sync_engine, "checkout", _check)


def _check(connection: Any, record: Any, _proxy: object) -> None:
    """Raise DisconnectionError for an ended connection, unless it is new.

    One that ends as soon as it is made is no reason to make another one.
    """
    if _WAS_LENT in record.info and _has_ended(connection.driver_connection):
        raise DisconnectionError
    record.info[_WAS_LENT] = True


def _has_ended(connection: Any) -> bool:
    if connection.closed:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
