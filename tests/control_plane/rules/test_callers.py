"""What scopes and limits of a key allow."""

from dataclasses import replace

import pytest

from rensei_platform.errors import ForbiddenError
from rensei_platform.rules.callers import (
    HOST_KEY_ACCESS,
    Access,
    Caller,
    CallerKind,
    Role,
    require_access,
)

REST = sorted(set(Access) - {Access.ALL} - set(HOST_KEY_ACCESS))


OWNER = Caller(
    kind=CallerKind.API_KEY,
    org_id="org",
    user_id="user",
    name="ada@acme.test",
    role=Role.OWNER,
)
"""With every scope, and no limit."""


@pytest.mark.parametrize(
    "limited",
    [replace(OWNER, projects=("p",)), replace(OWNER, environments=())],
    ids=("projects", "environments"),
)
def test_a_limited_key_administers_nothing(limited: Caller) -> None:
    """It was made with every scope, before such a key was refused."""
    for access in HOST_KEY_ACCESS:
        require_access(limited, access)
    for access in REST:
        require_access(OWNER, access)
        with pytest.raises(ForbiddenError, match="make one without the limit"):
            require_access(limited, access)
