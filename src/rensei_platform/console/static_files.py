"""The style sheet, the script and the icon: named by their content, so kept for ever."""

import hashlib
from functools import cache
from importlib import resources

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@cache
def _content(name: str) -> bytes:
    return (resources.files("rensei_platform.console") / "static" / name).read_bytes()


@cache
def static_path(name: str) -> str:
    """Return the path of a file, which changes with its content."""
    return f"/console/static/{hashlib.sha256(_content(name)).hexdigest()[:16]}/{name}"


async def static_file(request: Request) -> Response:
    """GET /console/static/{digest}/{name}.

    While servers of two versions stand behind one balancer, the page can be of the one and
    its files of the other. They are shown then, and not kept.
    """
    name = request.path_params["name"]
    if name not in _TYPES:
        raise HTTPException(404)
    is_own = request.scope["path"] == static_path(name)
    keeping = "public, max-age=31536000, immutable" if is_own else "no-store"
    return Response(
        _content(name), media_type=_TYPES[name], headers={"cache-control": keeping}
    )
