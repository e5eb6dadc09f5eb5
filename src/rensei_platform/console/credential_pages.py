"""Kinds of credentials, their rotations, and the receipt of one."""

from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.responses import Response

from rensei_platform.console.pages import Visit, see_other, shows, takes
from rensei_platform.console.plots import log_height
from rensei_platform.errors import InvalidRequestError, NotFoundError
from rensei_platform.rules.callers import require_rotation
from rensei_platform.rules.receipts import Uptake
from rensei_platform.services import credential_overview, receipts, rotations
from rensei_platform.services.audit import note

ROTATIONS_A_PAGE = 50
MOST_NAMED = 200
"""Sessions and hosts that a receipt names of each sort; the counts are whole."""
MOST_EXCLUDED = 100


async def credentials(visit: Visit) -> Response:
    """GET /console/credentials?before=VERSION."""
    before = visit.query("before")
    if before and not (before.isascii() and before.isdigit() and len(before) <= 18):
        raise InvalidRequestError("before must be a whole number")
    kinds = await credential_overview.list_kinds(visit.platform, visit.caller)
    found = await credential_overview.list_rotations(
        visit.platform,
        visit.caller,
        int(before) if before else None,
        ROTATIONS_A_PAGE + 1,
    )
    shown = found[:ROTATIONS_A_PAGE]
    progress = await credential_overview.progress_of(
        visit.platform, visit.caller, kinds, shown
    )
    timed = [one for one in reversed(shown) if one["duration_ms"] is not None]
    return visit.page(
        "credentials.html",
        kinds=kinds,
        rotations=[
            (one, so_far, [(uptake, so_far.by_uptake[uptake]) for uptake in Uptake])
            for one, so_far in zip(shown, progress, strict=True)
        ],
        uptakes=list(Uptake),
        timed=timed,
        latencies=[
            (
                f"{one['kind']}, {one['duration_ms']} ms",
                (("ms", log_height(one["duration_ms"])),),
            )
            for one in timed
        ],
        before=shown[-1]["version"] if len(found) > ROTATIONS_A_PAGE else None,
        is_first=not before,
    )


async def confirm_rotation(visit: Visit) -> Response:
    """GET /console/credentials/{kind}/rotate: what a rotation would do."""
    require_rotation(visit.caller, visit.caller.org_id)
    kind = visit.path("kind")
    kinds = await credential_overview.list_kinds(visit.platform, visit.caller)
    found = [one for one in kinds if one.kind == kind]
    if not found:
        raise NotFoundError("Credential kind not found")
    return visit.page("rotate.html", kind=found[0])


async def rotate(visit: Visit) -> Response:
    """POST /console/credentials/{kind}/rotate: resolve it again, and tell the sessions."""
    caller, kind = visit.caller, visit.path("kind")
    done = await rotations.rotate(visit.platform, caller, caller.org_id, kind)
    answer = see_other(f"/console/rotations/{quote(done.id, safe='')}", done="rotated")
    answer.background = BackgroundTask(
        note,
        visit.platform,
        caller,
        rotations.ROTATE,
        kind,
        sessions=done.session_count,
    )
    return answer


async def rotation(visit: Visit) -> Response:
    """GET /console/rotations/{rotation_id}?accept=1&without=HOST: the receipt."""
    without = [one for one in visit.request.query_params.getlist("without") if one]
    if len(without) > MOST_EXCLUDED:
        raise InvalidRequestError(f"At most {MOST_EXCLUDED} hosts can be left out")
    accept = visit.query("accept") == "1"
    found = await receipts.rotation_receipt(
        visit.platform,
        visit.caller,
        visit.path("rotation_id"),
        without=without,
        accept_unknown=accept,
    )
    receipt = found.receipt
    parts = [
        ("confirmed", receipt.confirmed),
        ("received", receipt.received),
        ("unknown", receipt.unknown),
        ("behind", len(receipt.behind)),
    ]
    return visit.page(
        "rotation.html",
        rotation=found.rotation,
        receipt=receipt,
        names=found.names,
        parts=parts,
        total=sum(count for _, count in parts),
        without=without,
        accept=accept,
        most=MOST_NAMED,
    )


ROUTES = (
    shows("/credentials", credentials),
    shows("/credentials/{kind}/rotate", confirm_rotation),
    takes("/credentials/{kind}/rotate", rotate),
    shows("/rotations/{rotation_id}", rotation),
)
