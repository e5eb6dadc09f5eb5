"""Users of an organization, and the links with which they set a password."""

from datetime import timedelta
from typing import Any

import pytest
from argon2 import PasswordHasher
from databases import one_database
from platform_server import OWNER, Server
from sqlalchemy import select, update

from rensei_platform.store.tables import password_links, users

BOB = "bob@acme.test"
PASSWORD = "correct horse battery"


async def _add(server: Server, role: str = "admin", email: str = BOB) -> dict[str, Any]:
    found: dict[str, Any] = await server.ok(
        "POST", "/api/admin/users", {"email": email, "role": role}
    )
    return found


async def _key_of(server: Server, email: str = BOB) -> str:
    made = await server.ok("POST", "/api/admin/keys", {"name": "k", "owner": email})
    return str(made["key"])


async def _set(server: Server, link: str, password: str = PASSWORD) -> Any:
    return await server.call(
        "POST", "/api/password", {"link": link, "password": password}, key="none"
    )


async def test_user_is_added_listed_and_removed(server: Server) -> None:
    """A member has a role from the start; removed, their keys are refused."""
    await _add(server)
    listed = (await server.ok("GET", "/api/admin/users"))["users"]
    assert [(one["email"], one["role"], one["hasPassword"]) for one in listed] == [
        (OWNER, "owner", False),
        (BOB, "admin", False),
    ]
    key = await _key_of(server)
    await server.ok("GET", "/api/admin/users", key=key)
    await server.ok("DELETE", f"/api/admin/users/{BOB}")
    assert (await server.call("GET", "/api/admin/users", key=key)).status_code == 401
    entries = (await server.ok("GET", "/api/admin/audit"))["entries"]
    assert [one["action"] for one in entries] == ["user.remove", "key.add", "user.add"]


async def test_password_is_set_once(server: Server) -> None:
    """A link works once, and only the latest of a user; the password is kept as argon2."""
    first = (await _add(server))["link"]
    second = (await server.ok("POST", f"/api/admin/users/{BOB}/reset"))["link"]
    assert (await _set(server, first)).status_code == 404
    assert (await _set(server, second, "short")).status_code == 400
    assert (await _set(server, second)).json() == {"ok": True}
    used = await _set(server, second, "another password")
    assert used.json() == {"error": "The link is not valid, or was used; ask for another"}
    async with server.platform.store.read() as db:
        query = select(users.c.password_hash).where(users.c.email == BOB)
        hashed = (await db.execute(query)).scalar_one()
    assert hashed.startswith("$argon2id$")
    assert PasswordHasher().verify(hashed, PASSWORD)


async def test_password_that_is_set_is_in_the_audit(server: Server) -> None:
    """Of each organization that trusts it, with the address; a link in vain is not."""
    beta = {"id": "org_beta", "name": "Beta", "owner": BOB}
    key = str((await server.ok("POST", "/api/admin/orgs", beta))["key"])
    link = (await _add(server))["link"]
    assert (await _set(server, link, "short")).status_code == 400
    for status in (200, 404):
        assert (await _set(server, link)).status_code == status
    for of in (server.key, key):
        answer = await server.ok(
            "GET", "/api/admin/audit", key=of, params={"action": "password.set"}
        )
        (entry,) = answer["entries"]
        shown = [entry[name] for name in ("actor", "object", "outcome", "address")]
        assert shown == [BOB, BOB, "ok", "127.0.0.1"]
        assert PASSWORD not in str(entry)
        assert link not in str(entry)


@one_database
async def test_a_server_that_is_cut_off_uses_no_link(server: Server) -> None:
    """Like every other call it says when to come back; the link is good after that."""
    link = (await _add(server))["link"]
    server.platform.availability.is_away = True
    refused = await _set(server, link)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    server.platform.availability.is_away = False
    assert (await _set(server, link)).status_code == 200


async def test_link_expires(server: Server) -> None:
    """After three days a link is worth nothing."""
    link = (await _add(server))["link"]
    async with server.platform.store.write() as db:
        ended = server.platform.now() - timedelta(milliseconds=1)
        await db.execute(update(password_links).values(expires_at=ended))
    assert (await _set(server, link)).status_code == 404


@one_database
async def test_links_cannot_be_guessed_for_long(server: Server) -> None:
    """Wrong links are limited like wrong keys."""
    answers = [await _set(server, f"rsl_live_{number}") for number in range(21)]
    assert [one.status_code for one in answers] == [404] * 20 + [429]


@one_database
@pytest.mark.parametrize("owner", ["not an address", "\\", "eve@acme.test\n"])
async def test_an_owner_has_an_address(server: Server, owner: str) -> None:
    """Or nobody could remove them, nor give them another key."""
    for path, body in (
        ("/api/admin/orgs", {"id": "org_beta", "name": "Beta", "owner": owner}),
        ("/api/admin/keys", {"name": "k", "owner": owner, "role": "member"}),
    ):
        answer = await server.call("POST", path, body)
        assert answer.status_code == 400
        assert answer.json() == {"error": "email must be an address such as ada@acme.test"}


@one_database
async def test_admin_has_no_power_over_owners(server: Server) -> None:
    """An admin adds no owner, and neither resets nor removes one."""
    await _add(server)
    key = await _key_of(server)
    for method, path, body in (
        ("POST", "/api/admin/users", {"email": "eve@acme.test", "role": "owner"}),
        ("POST", f"/api/admin/users/{OWNER}/reset", None),
        ("POST", f"/api/admin/users/{OWNER}/role", {"role": "member"}),
        ("POST", f"/api/admin/users/{BOB}/role", {"role": "owner"}),
        ("DELETE", f"/api/admin/users/{OWNER}", None),
    ):
        assert (await server.call(method, path, body, key=key)).status_code == 403


async def test_a_user_of_another_organization_is_the_operators(server: Server) -> None:
    """A password is the same in all organizations: no other admin gets to set it."""
    await _add(server)
    beta = {"id": "org_beta", "name": "Beta", "owner": "eve@beta.test"}
    eve = str((await server.ok("POST", "/api/admin/orgs", beta))["key"])
    for victim in (OWNER, BOB):
        body = {"email": victim, "role": "member"}
        refused = await server.call("POST", "/api/admin/users", body, key=eve)
        assert (refused.status_code, "link" in refused.json()) == (403, False)
        key = {"name": "k", "owner": victim, "role": "member"}
        refused = await server.call("POST", "/api/admin/keys", key, key=eve)
        assert refused.status_code == 403
    assert "link" in await _add(server, "member", "eve@beta.test")  # by the operator
    admin, reset = await _key_of(server), "/api/admin/users/eve@beta.test/reset"
    refused = await server.call("POST", reset, key=admin)
    assert refused.json() == {
        "error": "The user belongs to another organization: ask an operator of the platform"
    }
    await server.ok("POST", reset)
    for call in (
        ("POST", "eve@beta.test/role", {"role": "auditor"}),
        ("DELETE", "eve@beta.test", None),
    ):
        await server.ok(call[0], f"/api/admin/users/{call[1]}", call[2], key=admin)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/admin/users", {"email": BOB, "role": "member"}),
        ("/api/admin/keys", {"name": "k", "owner": BOB, "role": "member"}),
    ],
)
async def test_a_password_does_not_outlive_the_last_membership(
    server: Server, path: str, body: dict[str, Any]
) -> None:
    """Another organization may have made the user, and set it, before it removed them."""
    await _set(server, (await _add(server))["link"])
    await server.ok("DELETE", f"/api/admin/users/{BOB}")
    await server.ok("POST", path, body)
    listed = (await server.ok("GET", "/api/admin/users"))["users"]
    assert [one["hasPassword"] for one in listed if one["email"] == BOB] == [False]


async def test_last_owner_stays(server: Server) -> None:
    """An organization always has an owner; the first may go when there is a second."""
    role = f"/api/admin/users/{OWNER}/role"
    for call in (
        ("DELETE", f"/api/admin/users/{OWNER}", None),
        ("POST", role, {"role": "admin"}),
    ):
        refused = await server.call(*call)
        assert refused.status_code == 409
        assert refused.json() == {"error": "The last owner of an organization stays"}
    await server.ok("POST", role, {"role": "owner"})
    await _add(server, "owner")
    await server.ok("DELETE", f"/api/admin/users/{OWNER}")


async def test_role_is_changed(server: Server) -> None:
    """At once for the keys of a member; it is audited with the role before."""
    await _add(server)
    key, path = await _key_of(server), f"/api/admin/users/{BOB}/role"
    host = {"name": "build-07"}
    await server.ok("POST", "/api/admin/hosts", host, key=key)
    changed = await server.ok("POST", path, {"role": "member"})
    assert changed == {"email": BOB, "role": "member"}
    for call in (("/api/admin/hosts", host), (path, {"role": "admin"})):
        assert (await server.call("POST", *call, key=key)).status_code == 403
    listed = (await server.ok("GET", "/api/admin/users", key=key))["users"]
    assert [one["role"] for one in listed] == ["owner", "member"]
    (entry,) = (await server.ok("GET", "/api/admin/audit", params={"action": "user.role"}))[
        "entries"
    ]
    assert (entry["actor"], entry["object"]) == (OWNER, BOB)
    assert entry["details"] == {"role": "member", "before": "admin"}
    for body, status in (({"role": "king"}, 400), ({}, 400)):
        assert (await server.call("POST", path, body)).status_code == status
    stranger = "/api/admin/users/eve@acme.test/role"
    assert (await server.call("POST", stranger, {"role": "admin"})).status_code == 404


@one_database
@pytest.mark.parametrize("email", ["", "ada", "a b@c", "a@b/c", "@acme.test", "a\u202e@b"])
async def test_malformed_address_is_refused(server: Server, email: str) -> None:
    """What could not be told from another, or be part of a path, is no address."""
    body = {"email": email, "role": "member"}
    assert (await server.call("POST", "/api/admin/users", body)).status_code == 400


async def test_personal_token_has_its_users_role(server: Server) -> None:
    """A member's token reads and changes nothing; a limited key makes none."""
    await _add(server, "member")
    key = await _key_of(server)
    body = {"name": "laptop", "personal": True}
    token = (await server.ok("POST", "/api/admin/keys", body, key=key))["key"]
    assert token.startswith("rsu_live_")
    await server.ok("GET", "/api/admin/hosts", key=token)
    rotate = {"orgId": "org_acme", "kind": "github"}
    refused = await server.call("POST", "/api/daemon/credentials/rotate", rotate, key=token)
    assert refused.status_code == 403
    host = await server.ok("POST", "/api/admin/keys", {"name": "h", "forHost": True})
    refused = await server.call("POST", "/api/admin/keys", body, key=host["key"])
    assert refused.status_code == 403
