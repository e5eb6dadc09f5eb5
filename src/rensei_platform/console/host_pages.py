"""Hosts, one of them, and what it is asked for."""

import json
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from rensei_platform.console.forms import kept_fields
from rensei_platform.console.pages import Visit, see_other, shows, takes
from rensei_platform.console.requests_of_hosts import FORMS, params_of, read_params
from rensei_platform.errors import InvalidRequestError
from rensei_platform.ids import new_id
from rensei_platform.rules.callers import Access, require_admin
from rensei_platform.rules.fields import Json
from rensei_platform.rules.mutations import Op, check_params, parse_op
from rensei_platform.services import mutations, overview

HOSTS_A_PAGE = 50
MUTATIONS_A_PAGE = 50
SILENT_AFTER = 3
"""Intervals between heartbeats."""


async def hosts(visit: Visit) -> Response:
    """GET /console/hosts?q=PREFIX&after=NAME&after_id=ID."""
    prefix = visit.query("q")[:200]
    after = (visit.query("after"), visit.query("after_id"))
    found = await overview.find_hosts(
        visit.platform, visit.caller, prefix, after, HOSTS_A_PAGE + 1
    )
    ages = await overview.host_ages(visit.platform, visit.caller)
    rows = _age_rows(ages)
    return visit.page(
        "hosts.html",
        hosts=found[:HOSTS_A_PAGE],
        has_more=len(found) > HOSTS_A_PAGE,
        prefix=prefix,
        is_first=after == overview.FIRST,
        ages=ages,
        age_plot=rows,
        age_parts=[(kind, count) for _, count, kind in rows],
        pool=pool_of,
        state=_state_of(visit),
    )


def _age_rows(ages: overview.HostAges) -> list[tuple[str, int, str]]:
    """Return (label, count, kind) of the hosts by when they were seen."""
    labels = ("2 minutes", "an hour", "a day", "a week")
    kinds = ("fresh", "recent", "old", "older")
    rows = [
        (f"within {label}", count, kind)
        for label, count, kind in zip(labels, ages.within, kinds, strict=True)
    ]
    return [*rows, ("longer ago", ages.longer, "gone"), ("never", ages.never, "never")]


def _state_of(visit: Visit) -> Any:
    """Return what tells the state of a host: online, silent or never seen."""
    limit = SILENT_AFTER * visit.platform.settings.heartbeat_interval_ms / 1000
    now = visit.now

    def state(host: overview.HostSummary) -> str:
        if host.seen_at is None:
            return "never seen"
        return "online" if (now - host.seen_at).total_seconds() <= limit else "silent"

    return state


def pool_of(host: overview.HostSummary) -> str | None:
    """Return what the host is told of its pool. None if it is told nothing."""
    told = host.row["host_status"]
    status = told.get("status") if isinstance(told, dict) else None
    return status if isinstance(status, str) else None


async def host(visit: Visit) -> Response:
    """GET /console/hosts/{host_id}?before=SEQ."""
    before = visit.query("before")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise InvalidRequestError("before must be a whole number")
    found = await overview.host_details(
        visit.platform,
        visit.caller,
        visit.path("host_id"),
        int(before) if before else None,
        MUTATIONS_A_PAGE + 1,
    )
    history = found.history[:MUTATIONS_A_PAGE]
    return visit.page(
        "host.html",
        host=found.summary,
        is_cloned=found.is_cloned,
        projects=found.projects,
        sessions=found.sessions,
        history=[(one, shown(one.params)) for one in history],
        before=history[-1].seq if len(found.history) > MUTATIONS_A_PAGE else None,
        is_first=not before,
        pool=pool_of(found.summary),
        state=_state_of(visit),
        forms=FORMS,
    )


def shown(params: Json) -> str:
    """Return params as a person reads them: JSON in one line."""
    return json.dumps(params, ensure_ascii=False)


async def ask(visit: Visit) -> Response:
    """GET /console/hosts/{host_id}/ask/{op}?id=: the form of an operation.

    What was typed when a session ended is in the query too.
    """
    require_admin(visit.caller, Access.WRITE_MUTATIONS)
    values = kept_fields(visit.request.query_params)
    if project := visit.query("id"):
        values["param_id"] = project
    return await _form(visit, parse_op(visit.path("op")), values)


async def preview(visit: Visit) -> Response:
    """POST /console/hosts/{host_id}/ask/{op}: the request as it would be sent."""
    require_admin(visit.caller, Access.WRITE_MUTATIONS)
    op = parse_op(visit.path("op"))
    try:
        params = params_of(op, visit.form)
        check_params(op, params)
    except InvalidRequestError as error:
        return await _form(visit, op, visit.form, str(error))
    found = await _details(visit)
    request = {"workerHostId": found.summary.row["id"], "op": op, "params": params}
    return visit.page(
        "preview.html",
        host=found.summary,
        op=op,
        form=FORMS[op],
        asked=json.dumps(request, indent=2, ensure_ascii=False),
        # In ASCII, so that it comes back as it is, whatever is in it.
        params=json.dumps(params),
        once=new_id("once"),
    )


async def _form(visit: Visit, op: Op, values: dict[str, str], error: str = "") -> Response:
    found = await _details(visit)
    return visit.page(
        "ask.html",
        status=400 if error else 200,
        host=found.summary,
        op=op,
        form=FORMS[op],
        forms=FORMS,
        values=values,
        error=error,
        projects=[state.id for state in found.projects],
    )


async def _details(visit: Visit) -> overview.HostDetails:
    return await overview.host_details(
        visit.platform, visit.caller, visit.path("host_id"), None, 1
    )


async def enqueue(visit: Visit) -> Response:
    """POST /console/hosts/{host_id}/mutations: what the preview has shown.

    A form that is sent twice asks once.
    """
    host_id = visit.path("host_id")
    await mutations.enqueue(
        visit.platform,
        visit.caller,
        host_id=host_id,
        op=visit.form.get("op"),
        params=read_params(visit.form.get("params", ""), "params"),
        idempotency_key=visit.form.get("once", "")[:64] or None,
    )
    return see_other(f"/console/hosts/{quote(host_id, safe='')}", done="sent")


async def cancel(visit: Visit) -> Response:
    """POST /console/hosts/{host_id}/mutations/{mutation_id}/cancel."""
    is_cancelled = await mutations.cancel(
        visit.platform, visit.caller, visit.path("mutation_id")
    )
    done = "cancelled" if is_cancelled else "delivered"
    return see_other(f"/console/hosts/{quote(visit.path('host_id'), safe='')}", done=done)


ROUTES = (
    shows("/hosts", hosts),
    shows("/hosts/{host_id}", host),
    shows("/hosts/{host_id}/ask/{op}", ask),
    takes("/hosts/{host_id}/ask/{op}", preview),
    takes("/hosts/{host_id}/mutations", enqueue, page="/hosts/{host_id}"),
    takes(
        "/hosts/{host_id}/mutations/{mutation_id}/cancel", cancel, page="/hosts/{host_id}"
    ),
)
