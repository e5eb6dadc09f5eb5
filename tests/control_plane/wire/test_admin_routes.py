"""Who may administer what."""

from typing import Any

from databases import one_database
from platform_server import OWNER, Server


async def add_key(server: Server, by: str | None = None, **body: Any) -> Any:
    """Add a key; return the status and the answer."""
    answer = await server.call("POST", "/api/admin/keys", {"name": "k", **body}, key=by)
    return answer.status_code, answer.json()


@one_database
async def test_an_admin_does_not_become_an_owner(server: Server) -> None:
    """An admin makes keys of members, and of no owner, in no way."""
    _, made = await add_key(server, owner="eve@acme.test", role="admin")
    admin = made["key"]
    assert (await add_key(server, admin, owner="bob@acme.test", role="member"))[0] == 201
    denied = (403, {"error": "Only an owner gives or takes the role of owner"})
    assert await add_key(server, admin, owner="eve@acme.test", role="owner") == denied
    second, _ = await add_key(server, owner="cora@acme.test", role="owner")
    assert second == 201
    for role in ({}, {"role": "member"}, {"role": "owner"}):
        assert await add_key(server, admin, owner="Cora@acme.test", **role) == denied


async def test_a_member_keeps_their_role(server: Server) -> None:
    """A second key of a member that names no role changes none."""
    await add_key(server, owner="eve@acme.test", role="admin")
    _, made = await add_key(server, owner="eve@acme.test")
    assert (await server.call("GET", "/api/admin/audit", key=made["key"])).is_success


@one_database
async def test_only_operators_add_organizations(server: Server) -> None:
    """The first owner runs the platform; the owner of another organization does not.

    Nor do they get a key that speaks for somebody who does.
    """
    body = {"id": "org_b", "name": "B", "owner": "bob@b.test"}
    made = await server.ok("POST", "/api/admin/orgs", body)
    again = await server.call("POST", "/api/admin/orgs", body)
    assert (again.status_code, again.json()) == (
        409,
        {"error": "Organization org_b is there already"},
    )
    other = {"id": "org_c", "name": "C", "owner": "bob@b.test"}
    refused = await server.call("POST", "/api/admin/orgs", other, key=made["key"])
    assert refused.status_code == 403
    assert await add_key(server, made["key"], owner=OWNER, role="owner") == (
        403,
        {"error": "Only an operator of the platform adds keys of an operator"},
    )


@one_database
async def test_an_operators_key_for_hosts_adds_no_organization(server: Server) -> None:
    """It would get the key of the new owner."""
    _, made = await add_key(server, forHost=True)
    body = {"id": "org_b", "name": "B", "owner": "bob@b.test"}
    refused = await server.call("POST", "/api/admin/orgs", body, key=made["key"])
    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "The key does not have the scope org:admin"},
    )


async def test_nul_in_an_address_names_nothing(server: Server) -> None:
    """PostgreSQL cannot hold it; the next request is answered as ever."""
    for method, path in (
        ("GET", "/api/admin/hosts/%00"),
        ("GET", "/api/admin/hosts?after=%00"),
        ("GET", "/api/daemon/mutations?workerHostId=%00"),
        ("DELETE", "/api/daemon/mutations/%00"),
        ("DELETE", "/api/admin/keys/%00"),
        ("DELETE", "/api/admin/credentials/k/binding?projectId=%00"),
    ):
        answer = await server.call(method, path)
        assert answer.status_code in (200, 400, 404), (path, answer.text)
        assert (await server.ok("GET", "/api/admin/hosts")) == {"hosts": []}
