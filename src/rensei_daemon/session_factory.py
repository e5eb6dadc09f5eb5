"""Creates the rotation and the deliveries that a session's settings ask for."""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rensei_daemon.core.scrub import Fingerprints, Scrubber
from rensei_daemon.core.session import Session
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.delivery.delivery_protocol import Delivery
from rensei_daemon.delivery.env_file import EnvFile
from rensei_daemon.delivery.hook import Hook, HookResources
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.delivery.subscribers import Subscribers
from rensei_daemon.disk.user_groups import group_id
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.settings.model import Session as SessionSettings
from rensei_daemon.tasks.rotation import Rotation
from rensei_daemon.tasks.snapshots import SessionContext


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFactory:
    """Creates rotations, and holds what their deliveries share."""

    runtime: Path
    hooks: HookResources
    scrub: Scrubber
    """Redacts every value in logs."""
    credential_socket: CredentialSocket = field(default_factory=CredentialSocket)
    fingerprints: Fingerprints = field(
        default_factory=lambda: Fingerprints(secrets.token_bytes(32))
    )

    @classmethod
    def prepare(cls, runtime: Path, environ: Mapping[str, str]) -> "SessionFactory":
        """Return a factory; open nothing."""
        scrub = Scrubber()
        return cls(
            runtime=runtime, hooks=HookResources(environ=environ, scrub=scrub), scrub=scrub
        )

    def start(
        self,
        session: SessionSettings,
        context: SessionContext,
        *,
        org_id: str | None,
    ) -> Rotation:
        """Return a session's rotation, not yet running.

        Raise `SettingsError` for a group that cannot be used, and change nothing.
        """
        subscribers, files, hooks = self._deliveries(session)
        rotation = Rotation(
            Session(
                id=session.id,
                project_id=session.project_id or "",
                env_name=session.env_name or "",
                org_id=org_id or "",
            ),
            [subscribers, *files, *hooks],
            context,
            register_secrets=partial(self.scrub.register, f"session {session.id}"),
        )
        subscribers.missing = partial(missing, rotation, files)
        subscribers.version = lambda: rotation.version
        return rotation

    def _deliveries(
        self, session: SessionSettings
    ) -> tuple[Subscribers, list[EnvFile], list[Hook]]:
        gid = group_id(session.group) if session.group else None
        subscribers = self.credential_socket.subscribers(session.id, gid)
        files: list[EnvFile] = []
        hooks: list[Hook] = []
        record = path = file = None
        if session.on_rotate:
            record = HookRecord(self.runtime / f".{session.id}.hook-done")
        if session.env_file is not None:
            path = self.runtime / session.env_file
            mode = session.env_file_permissions
            file = EnvFile(path, mode=mode, gid=gid, hook_record=record)
            files.append(file)
        if session.on_rotate:
            hook = Hook(
                session.on_rotate,
                session_id=session.id,
                env_file=path,
                after=file,
                record=record,
                resources=self.hooks,
            )
            hooks.append(hook)
        return subscribers, files, hooks


def missing(rotation: Rotation, files: Sequence[Delivery]) -> str:
    """Return what a worker would read at its start and is still missing; empty if nothing.

    Hooks are not considered: a hook may reload the unit that waits.
    """
    if not rotation.credentials.generation:
        error = rotation.snapshot_error
        return f"no credentials ({error})" if error else "no credentials"
    unwritten = [file.name for file in files if file.consumers[0].generation is None]
    return f"{unwritten[0]} is not written" if unwritten else ""
