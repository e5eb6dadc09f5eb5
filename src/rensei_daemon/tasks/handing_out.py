"""What a session's settings ask for, as deliveries."""

from pathlib import Path

from rensei_daemon.delivery.consumer import Delivery
from rensei_daemon.delivery.env_file import EnvFile
from rensei_daemon.delivery.socket import CredentialSocket
from rensei_daemon.disk.groups import group_id
from rensei_daemon.settings.model import Session as SessionSettings


def deliveries_of(
    session: SessionSettings, runtime: Path, sockets: CredentialSocket
) -> list[Delivery]:
    """Return the session's deliveries; raises `SettingsError` for an unusable group."""
    gid = group_id(session.group) if session.group else None
    deliveries: list[Delivery] = [sockets.audience(session.id, gid)]
    if session.env_file is not None:
        path = runtime / session.env_file
        deliveries.append(EnvFile(path, mode=session.env_file_permissions, gid=gid))
    return deliveries
