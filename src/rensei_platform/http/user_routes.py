"""The calls below /api/admin/users, and the one that sets a password."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rensei_platform.http.requests import (
    address,
    answer,
    authenticated,
    platform_of,
    read_json,
)
from rensei_platform.rules.callers import Role
from rensei_platform.rules.fields import Json, choice, email, text
from rensei_platform.rules.times import wire_time
from rensei_platform.services import users
from rensei_platform.services.passwords import MOST_PASSWORD
from rensei_platform.services.users import Link


async def list_users(request: Request) -> Response:
    """GET /api/admin/users."""
    caller = await authenticated(request)
    rows = await users.list_users(platform_of(request), caller)
    found = [
        {
            "email": row["email"],
            "role": row["role"],
            "isOperator": row["is_operator"],
            "hasPassword": row["has_password"],
            "createdAt": wire_time(row["created_at"]),
        }
        for row in rows
    ]
    return answer({"users": found})


async def add_user(request: Request) -> Response:
    """POST /api/admin/users {email, role}: make somebody a member."""
    caller = await authenticated(request)
    body = await read_json(request)
    who, role = email(body.get("email")), Role(choice(body, "role", tuple(Role)))
    link = await users.add_user(platform_of(request), caller, who, role)
    return answer(_link(who, link), status=201)


async def reset_user(request: Request) -> Response:
    """POST /api/admin/users/{email}/reset: another link to set a password."""
    caller = await authenticated(request)
    who = email(request.path_params["email"])
    return answer(_link(who, await users.reset_user(platform_of(request), caller, who)))


async def set_role(request: Request) -> Response:
    """POST /api/admin/users/{email}/role {role}: what a member may do from now on."""
    caller = await authenticated(request)
    role = Role(choice(await read_json(request), "role", tuple(Role)))
    who = email(request.path_params["email"])
    await users.set_role(platform_of(request), caller, who, role)
    return answer({"email": who, "role": role})


async def remove_user(request: Request) -> Response:
    """DELETE /api/admin/users/{email}."""
    caller = await authenticated(request)
    who = email(request.path_params["email"])
    await users.remove_user(platform_of(request), caller, who)
    return answer({"ok": True})


async def set_password(request: Request) -> Response:
    """POST /api/password {link, password}: no key, the link says whose it is."""
    body = await read_json(request)
    password = text(body, "password", longest=MOST_PASSWORD)
    platform = platform_of(request)
    await users.set_password(platform, text(body, "link"), password, address(request))
    return answer({"ok": True})


def _link(who: str, link: Link) -> Json:
    expires_at = wire_time(link.expires_at)
    return {"email": who, "link": link.text, "linkExpiresAt": expires_at}


ROUTES = (
    Route("/api/admin/users", list_users, methods=["GET"]),
    Route("/api/admin/users", add_user, methods=["POST"]),
    Route("/api/admin/users/{email}/reset", reset_user, methods=["POST"]),
    Route("/api/admin/users/{email}/role", set_role, methods=["POST"]),
    Route("/api/admin/users/{email}", remove_user, methods=["DELETE"]),
    Route("/api/password", set_password, methods=["POST"]),
)
