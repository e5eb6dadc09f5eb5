"""Keys and users of an organization."""

from starlette.responses import Response

from rensei_platform.console.forms import words
from rensei_platform.console.pages import Visit, see_other, shows, takes
from rensei_platform.errors import NotFoundError, RequestError
from rensei_platform.rules.callers import Access, Role, require_admin
from rensei_platform.rules.fields import called, choice, email
from rensei_platform.services import administration, users
from rensei_platform.services.users import Link

HERE = "/console/access"
MOST_KEYS = 500


async def people(visit: Visit) -> Response:
    """GET /console/access."""
    return await _page(visit)


async def _page(visit: Visit, error: str = "", status: int = 200) -> Response:
    keys = await administration.list_keys(visit.platform, visit.caller)
    members = await users.list_users(visit.platform, visit.caller)
    newest = list(reversed(keys))
    valid = [key for key in newest if key["revoked_at"] is None]
    return visit.page(
        "people.html",
        status=status,
        keys=valid[:MOST_KEYS],
        key_count=len(valid),
        revoked=[key for key in newest if key["revoked_at"] is not None][:MOST_KEYS],
        users=members,
        roles=list(Role),
        error=error,
    )


async def add_key(visit: Visit) -> Response:
    """POST /console/access/keys: the answer shows the key, this once."""
    form = visit.form
    for_host = form.get("for") != "people"
    try:
        made = await administration.add_key(
            visit.platform,
            visit.caller,
            name=called(form),
            for_host=for_host,
            projects=words(form.get("projects", "")),
            environments=words(form.get("environments", "")),
        )
    except RequestError as error:
        return await _page(visit, str(error), error.status)
    return visit.page(
        "shown_once.html",
        title="The new key",
        label=f"Key {form['name']}",
        secret=made.text,
        hint=(
            "Write it into a file that the host's api_key_file names."
            if for_host
            else "Write it into a file, such as the one of rensei-platform --key-file."
        ),
    )


async def confirm_revoke(visit: Visit) -> Response:
    """GET /console/access/keys/{key_id}/revoke."""
    require_admin(visit.caller, Access.ADMIN)
    keys = await administration.list_keys(visit.platform, visit.caller)
    found = [key for key in keys if key["id"] == visit.path("key_id")]
    if not found:
        raise NotFoundError("Key not found")
    return visit.page(
        "confirm.html",
        title="Revoke a key",
        what=found[0]["name"],
        effect="It is refused from now on, and the streams of hosts that use it end. "
        "It cannot be undone.",
        act="Revoke it",
    )


async def revoke_key(visit: Visit) -> Response:
    """POST /console/access/keys/{key_id}/revoke."""
    await administration.revoke_key(visit.platform, visit.caller, visit.path("key_id"))
    return see_other(HERE, done="revoked")


async def add_user(visit: Visit) -> Response:
    """POST /console/access/users: the answer shows the link, this once."""
    try:
        who = email(visit.form.get("email", "").strip())
        role = Role(choice(visit.form, "role", tuple(Role)))
        link = await users.add_user(visit.platform, visit.caller, who, role)
    except RequestError as error:
        return await _page(visit, str(error), error.status)
    return _shown_link(visit, who, link)


async def reset_user(visit: Visit) -> Response:
    """POST /console/access/users/{email}/reset: another link to set a password."""
    who = email(visit.path("email"))
    link = await users.reset_user(visit.platform, visit.caller, who)
    return _shown_link(visit, who, link)


def _shown_link(visit: Visit, who: str, link: Link) -> Response:
    """Return the page with a link; behind `#` it never reaches a log."""
    url = visit.request.url
    return visit.page(
        "shown_once.html",
        title="A link to set a password",
        label=f"For {who}, until {link.expires_at:%Y-%m-%d %H:%M} UTC",
        secret=f"{url.scheme}://{url.netloc}/console/password#{link.text}",
        hint="Give it to them alone. It works once, and ends the earlier ones.",
    )


async def set_role(visit: Visit) -> Response:
    """POST /console/access/users/{email}/role."""
    role = Role(choice(visit.form, "role", tuple(Role)))
    await users.set_role(visit.platform, visit.caller, email(visit.path("email")), role)
    return see_other(HERE, done="role")


async def confirm_remove(visit: Visit) -> Response:
    """GET /console/access/users/{email}/remove."""
    require_admin(visit.caller, Access.ADMIN)
    return visit.page(
        "confirm.html",
        title="Remove a user",
        what=email(visit.path("email")),
        effect="Their sessions end, and their keys are revoked, also those that hosts use.",
        act="Remove them",
    )


async def remove_user(visit: Visit) -> Response:
    """POST /console/access/users/{email}/remove."""
    await users.remove_user(visit.platform, visit.caller, email(visit.path("email")))
    return see_other(HERE, done="removed")


ROUTES = (
    shows("/access", people),
    takes("/access/keys", add_key, page="/access"),
    shows("/access/keys/{key_id}/revoke", confirm_revoke),
    takes("/access/keys/{key_id}/revoke", revoke_key),
    takes("/access/users", add_user, page="/access"),
    takes("/access/users/{email}/reset", reset_user, page="/access"),
    takes("/access/users/{email}/role", set_role, page="/access"),
    shows("/access/users/{email}/remove", confirm_remove),
    takes("/access/users/{email}/remove", remove_user),
)
