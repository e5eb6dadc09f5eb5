"""A session of this host, as the platform is asked for its credentials."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Whose credentials, and of which project and environment."""

    id: str
    project_id: str
    env_name: str = "production"
    org_id: str = ""
    """Empty: the organisation this host is registered with."""
