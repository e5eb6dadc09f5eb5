"""The variables that name a platform, a key and an organisation to an operator's command.

They are the public command line's own, in both spellings::

    RENSEI_RSK_TOKEN      DONMAI_RSK_TOKEN      the key
    RENSEI_PLATFORM_URL   DONMAI_PLATFORM_URL   the platform; only together with a key
    RENSEI_ORG_ID         DONMAI_ORG_ID         the organisation

A url from the environment is used only with a key from there, so that no variable can send
a key of this host's files to another platform.
"""

import re
from collections.abc import Mapping

from rensei_daemon.core.child_environment import BRANDS
from rensei_daemon.errors import SettingsError
from rensei_daemon.fast_dataclass import dataclass, field

_KEY = re.compile(r"rs[kpu]_live_[\x21-\x7e]{1,4000}")
"""An API key, or the personal token of a user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorEnvironment:
    """What the variables say; empty where they say nothing."""

    token: str = field(default="", repr=False)
    url: str = ""
    """Empty without a token."""
    unused_url: str = ""
    """A url that came without a token."""
    org_id: str = ""


def read_environment(environ: Mapping[str, str]) -> OperatorEnvironment:
    """Return what the variables say. Raise SettingsError for a token that is no key."""
    variable, token = _first(environ, "RSK_TOKEN")
    if token and not _KEY.fullmatch(token):
        raise SettingsError(
            f"{variable}: this is no API key of the platform",
            hint=f"a key starts with rsk_live_; or unset {variable}",
        )
    _, url = _first(environ, "PLATFORM_URL")
    _, org_id = _first(environ, "ORG_ID")
    return OperatorEnvironment(
        token=token,
        url=url if token else "",
        unused_url="" if token else url,
        org_id=org_id,
    )


def _first(environ: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return (variable, value) of the first spelling that has a value."""
    for brand in BRANDS:
        variable = f"{brand}_{name}"
        if value := environ.get(variable, "").strip():
            return variable, value
    return "", ""
