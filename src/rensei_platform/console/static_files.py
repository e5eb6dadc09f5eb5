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
    """GET /console/static/{digest}/{name}."""
    name = request.path_params["name"]
    if name not in _TYPES or request.scope["path"] != static_path(name):
        raise HTTPException(404)
    return Response(
        _content(name),
        media_type=_TYPES[name],
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )
