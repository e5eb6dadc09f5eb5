"""The audit: who did what, with filters."""

import json
from typing import Any

from starlette.responses import Response

from rensei_platform.console.pages import Visit, shows
from rensei_platform.errors import InvalidRequestError
from rensei_platform.rules.fields import optional_text, optional_time
from rensei_platform.services import administration, overview
from rensei_platform.services.administration import AuditFilter

ENTRIES_A_PAGE = 100
ACTIONS = (
    "credential.bind",
    "credential.rotate",
    "credential.set",
    "credential.snapshot",
    "credential.unbind",
    "host.add",
    "host.remove",
    "host.status",
    "key.add",
    "key.recover",
    "key.revoke",
    "master_key.replace",
    "mutation.cancel",
    "mutation.enqueue",
    "org.add",
    "password.set",
    "request.refused",
    "schema.migrate",
    "session.begin",
    "session.end",
    "session.end_all",
    "token.add",
    "user.add",
    "user.remove",
    "user.reset",
    "user.role",
)
"""What the audit can be filtered by."""


async def audit(visit: Visit) -> Response:
    """GET /console/audit?actor=&action=&since=DAY&before=SEQ."""
    query = visit.request.query_params
    before, day = visit.query("before"), visit.query("since")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise InvalidRequestError("before must be a whole number")
    since = optional_time({"since": f"{day}T00:00:00Z"}, "since") if day else None
    rows = await administration.list_audit(
        visit.platform,
        visit.caller,
        AuditFilter(
            before=int(before) if before else None,
            actor=optional_text(query, "actor"),
            action=optional_text(query, "action"),
            since=since,
        ),
        ENTRIES_A_PAGE + 1,
    )
    kept = {name: query.get(name, "") for name in ("actor", "action", "since")}
    days = await overview.outcomes_a_day(visit.platform, visit.caller)
    return visit.page(
        "audit.html",
        entries=[(row, details_of(row["details"])) for row in rows[:ENTRIES_A_PAGE]],
        before=rows[ENTRIES_A_PAGE - 1]["seq"] if len(rows) > ENTRIES_A_PAGE else None,
        kept=kept,
        is_first=not before,
        actions=ACTIONS,
        days=days,
        columns=[
            (
                f"{one.day:%d %b}",
                [(kind, one.counts.get(kind, 0)) for kind in KINDS],
            )
            for one in days
        ],
        totals=[(kind, sum(one.counts.get(kind, 0) for one in days)) for kind in KINDS],
    )


KINDS = ("applied", "failed", "cancelled")
"""How a mutation ends."""


def details_of(details: Any) -> str:
    """Return the details of an entry in one line."""
    if not isinstance(details, dict):
        return ""
    shown = {
        name: _in_words(value)
        for name, value in details.items()
        if value not in (None, "", [])
    }
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _in_words(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return " ".join(value)
    return json.dumps(value, ensure_ascii=False)


ROUTES = (shows("/audit", audit),)
