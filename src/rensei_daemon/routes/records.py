"""The routes of the control API for the record of changes and mutations, and rollback.

Everyone who may connect to the control socket may read the record: neither it nor the
configuration holds a secret.
"""

import os
from collections.abc import Mapping
from typing import Any

import anyio.to_thread

from rensei_daemon.control_api import schema
from rensei_daemon.control_api.wire import Request, Routes, route
from rensei_daemon.core.history import (
    BlameRecord,
    ChangeDetail,
    ChangeRecord,
    MutationDetail,
    MutationRecord,
    blame,
    no_change,
    no_mutation,
)
from rensei_daemon.disk.journal_records import JournalRecords
from rensei_daemon.disk.user_groups import user_name
from rensei_daemon.errors import UsageError
from rensei_daemon.fast_dataclass import dataclass
from rensei_daemon.long_work import run_in_thread
from rensei_daemon.settings.configuration import Configuration
from rensei_daemon.settings.texts import parse
from rensei_daemon.tasks.mutations import MutationLoop

DEFAULT_LIMIT, MOST = 20, 5000


@dataclass(frozen=True, slots=True)
class RecordRoutes:
    """The handlers, and the parts of the daemon that they use."""

    mutations: MutationLoop
    records: JournalRecords
    configuration: Configuration

    def routes(self) -> Routes:
        """Return the routes."""
        return dict(
            [
                route(schema.CHANGES, self._changes),
                route(schema.CHANGE, self._change),
                route(schema.BLAME, self._blame),
                route(schema.MUTATIONS, self._mutations),
                route(schema.MUTATION, self._mutation),
                route(schema.ROLLBACK, self._rollback),
            ]
        )

    async def _changes(self, request: Request) -> list[ChangeRecord]:
        limit = _limit(request.query)
        return await anyio.to_thread.run_sync(self.records.changes, limit)

    async def _change(self, request: Request) -> ChangeDetail:
        given = request.path["number"]
        number = None if given == "latest" else _number(given)
        change = await anyio.to_thread.run_sync(self.records.change, number)
        if change is None:
            raise no_change(number)
        return change

    async def _blame(self, _: Request) -> list[BlameRecord]:
        return await run_in_thread(self._blame_now)

    def _blame_now(self) -> list[BlameRecord]:
        file = self.configuration.file
        tree = parse(file.read().text, path=file.path)
        return blame(tree, self.records.changes_for_blame())

    async def _mutations(self, request: Request) -> list[MutationRecord]:
        limit, before = _limit(request.query), request.query.get("before", "")
        return await anyio.to_thread.run_sync(self.records.mutations, limit, before)

    async def _mutation(self, request: Request) -> MutationDetail:
        wanted = request.path["id"]
        mutation = await anyio.to_thread.run_sync(self.records.mutation, wanted)
        if mutation is None:
            raise no_mutation(wanted)
        return mutation

    async def _rollback(self, request: Request) -> schema.RolledBack:
        body = request.body if isinstance(request.body, dict) else {}
        uid = request.peer.uid
        name = await anyio.to_thread.run_sync(user_name, uid)
        before, after = await self.mutations.roll_back(
            _number(body.get("change")),
            requested_by=f"{name}@{os.uname().nodename}",
            dry_run=bool(body.get("dry_run")),
        )
        return schema.RolledBack(before=before.text, after=after.text)


def _limit(query: Mapping[str, str]) -> int:
    return min(_number(query.get("limit", str(DEFAULT_LIMIT))), MOST)


def _number(value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if not 0 < number < 1 << 62:
        raise UsageError(f"{value!r} is not a positive number")
    return number
