"""Creates the rotation and the deliveries that a session's settings ask for."""

import os
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

from rensei_daemon.core.file_content import FileContent
from rensei_daemon.core.scrub import Fingerprints, Scrubber
from rensei_daemon.core.session import Session
from rensei_daemon.delivery.credential_socket import CredentialSocket
from rensei_daemon.delivery.delivery_protocol import Delivery
from rensei_daemon.delivery.file_delivery import FileDelivery
from rensei_daemon.delivery.hook import Hook, HookResources
from rensei_daemon.delivery.hook_record import HookRecord
from rensei_daemon.delivery.subscribers import Subscribers
from rensei_daemon.disk.user_groups import group_id
from rensei_daemon.fast_dataclass import dataclass, field
from rensei_daemon.settings.values import File
from rensei_daemon.settings.values import Session as SessionSettings
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
    ) -> tuple[Subscribers, list[FileDelivery], list[Hook]]:
        gid = group_id(session.group) if session.group else None
        subscribers = self.credential_socket.subscribers(session.id, gid)
        files: list[FileDelivery] = []
        hooks: list[Hook] = []
        if session.on_rotate and session.env_file is None:
            hooks.append(self._hook(session, None, None, None))
        for file in session.all_files:
            path = self.runtime / file.path
            record = self._hook_record(session, file) if file.on_rotate else None
            delivery = FileDelivery(
                path,
                file.content,
                mode=file.permissions,
                gid=group_id(file.group) if file.group else None,
                hook_record=record,
            )
            files.append(delivery)
            if record is not None:
                hooks.append(self._hook(session, file, delivery, record))
        return subscribers, files, hooks

    def _hook_record(self, session: SessionSettings, file: File) -> HookRecord:
        # The id of a session has no "~", so no other session's record has this name.
        digest = sha256(os.fsencode(file.path)).hexdigest()[:16]
        part = "" if file.path == session.env_file else f"~{digest}"
        path = self.runtime / f".{session.id}{part}.hook-done"
        return HookRecord(path, file.content)

    def _hook(
        self,
        session: SessionSettings,
        file: File | None,
        after: FileDelivery | None,
        record: HookRecord | None,
    ) -> Hook:
        argv = session.on_rotate if file is None else file.on_rotate
        is_repeated = sum(hook[0] == argv[0] for hook in session.hooks) > 1
        return Hook(
            argv,
            session_id=session.id,
            name=f"{argv[0]} for {after.name}" if after and is_repeated else argv[0],
            env_file=None if file is None else self.runtime / file.path,
            content=FileContent() if file is None else file.content,
            after=after,
            record=record,
            splay_seconds=(session if file is None else file).splay_seconds,
            resources=self.hooks,
        )


def missing(rotation: Rotation, files: Sequence[Delivery]) -> str:
    """Return what a worker would read at its start and is still missing; empty if nothing.

    Hooks are not considered: a hook may reload the unit that waits.
    """
    if not rotation.credentials.generation:
        error = rotation.snapshot_error
        return f"no credentials ({error})" if error else "no credentials"
    unwritten = [file.name for file in files if file.consumers[0].generation is None]
    return f"{unwritten[0]} is not written" if unwritten else ""
