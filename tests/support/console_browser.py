"""A browser without a screen: it keeps cookies, and sends the forms that pages have."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import httpx
from platform_server import NO_TLS, OWNER, Server

PASSWORD = "correct horse battery"
SAME_ORIGIN = {"sec-fetch-site": "same-origin"}


@dataclass
class Form:
    """A form of a page with the fields as they were filled in."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A page: its forms, its links and every element with its attributes."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        self.status = answer.status_code
        self.path = answer.request.url.path
        self.source = answer.text
        self.forms: list[Form] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(answer.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if tag == "form":
            method, action = found.get("method") or "get", found.get("action") or ""
            self.forms.append(Form(method, action))
        elif tag in ("input", "select", "textarea") and self.forms:
            self.forms[-1].fields[found.get("name") or ""] = found.get("value") or ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """What a person reads, in one line."""
        return " ".join(" ".join(self.words).split())

    def form(self, ending: str) -> Form:
        """Return the form whose action ends so."""
        (found,) = [one for one in self.forms if one.action.endswith(ending)]
        return found

    @property
    def icon(self) -> str:
        """Where the page's own picture is."""
        (found,) = [at for tag, at in self.elements if at.get("rel") == "icon"]
        return found["href"] or ""

    def links(self) -> list[str]:
        """Return where the page leads."""
        return [at["href"] or "" for tag, at in self.elements if tag == "a"]


@dataclass
class Browser:
    """A browser at a server."""

    server: Server
    http: httpx.AsyncClient

    async def get(self, path: str, **more: Any) -> Page:
        """Open a page, and follow where it sends."""
        return Page(await self.http.get(path, follow_redirects=True, **more))

    async def submit(self, form: Form, **fields: str) -> Page:
        """Send a form, and open the page that it leads to."""
        content = form.fields | fields
        if form.method == "get":
            return await self.get(form.action, params=content)
        return Page(
            await self.http.post(
                form.action, data=content, headers=SAME_ORIGIN, follow_redirects=True
            )
        )

    async def sign_in(self, email: str = OWNER, password: str = PASSWORD) -> Page:
        """Sign in with a password."""
        page = await self.get("/console/sign-in")
        return await self.submit(page.forms[0], email=email, password=password)

    async def look(self, key: str) -> Page:
        """Sign in with a key."""
        page = await self.get("/console/sign-in")
        return await self.submit(page.forms[1], key=key)


async def set_password(server: Server, email: str = OWNER, *, role: str = "") -> None:
    """Give a user a password; with a role they are made a member first."""
    if role:
        body = {"email": email, "role": role}
        made = await server.ok("POST", "/api/admin/users", body)
    else:
        made = await server.ok("POST", f"/api/admin/users/{email}/reset")
    body = {"link": made["link"], "password": PASSWORD}
    await server.ok("POST", "/api/password", body)


@asynccontextmanager
async def browsing(server: Server) -> AsyncIterator[Browser]:
    """Lend a browser that is not signed in."""
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, verify=NO_TLS
    ) as http:
        yield Browser(server, http)
