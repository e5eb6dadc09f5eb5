"""Settings that are allowed, but probably do not do what the operator expects."""

from collections.abc import Iterator
from pathlib import PurePath

from rensei_daemon.core.toml_rendering import render_key
from rensei_daemon.core.url_secrets import holds_secret
from rensei_daemon.core.urls import is_loopback_host
from rensei_daemon.settings.values import Session, Settings


def advisories(settings: Settings) -> Iterator[str]:
    """Return a sentence for each setting that deserves a second look."""
    for session in settings.credentials.resolved_sessions:
        yield from _about(session)
    for project, entry in settings.projects.items():
        if any(map(holds_secret, entry.repositories)):
            yield (
                f"projects.{render_key((project,))} has a repository with a user name, "
                "password or token in its URL; the platform gets the URL without it"
            )
    address = settings.metrics.address
    if address is not None and not is_loopback_host(address[0]):
        yield (
            f"[metrics].listen is {settings.metrics.listen}: everybody who reaches it may "
            "read the metrics, which hold no secret but name sessions and conditions"
        )


def _about(session: Session) -> Iterator[str]:
    if session.project_id is None:
        yield (
            f'session "{session.id}" has no project_id, neither has [credentials]: '
            "the platform may refuse it credentials"
        )
    if any(PurePath(hook[0]).name == "systemctl" for hook in session.hooks):
        yield (
            f'session "{session.id}" runs systemctl on rotation, which the daemon\'s '
            "user may not do to other units; use a .path unit on its env_file instead"
        )
    for hook in session.hooks:
        if "/" in hook[0] and not PurePath(hook[0]).is_absolute():
            yield (
                f'session "{session.id}" has the hook {hook[0]}, which is looked up '
                "from /; name it from the root"
            )
    for file in session.all_files:
        path = PurePath(file.path)
        if not path.is_absolute() and len(path.parts) > 1:
            yield (
                f'session "{session.id}" has a file {file.path}, whose directory is not '
                "made by the daemon, and goes with the runtime directory at each stop"
            )
        if file.permissions & 0o007:
            what = "an env file" if file.path == session.env_file else f"a file {file.path}"
            yield f'session "{session.id}" has {what} that everybody may open'
