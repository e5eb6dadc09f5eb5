"""A session of this host, as the platform identifies it."""

from rensei_daemon.fast_dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The session, project and environment of the credentials."""

    id: str
    project_id: str
    env_name: str = "production"
    org_id: str = ""
    """Empty: the organisation of this host's registration."""
