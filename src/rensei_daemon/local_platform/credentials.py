"""The rules of credentials: which ones a session sees, and what a rotation brings."""

import secrets
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rensei_daemon.local_platform.records import Credential

# The names the platform keeps to itself, under both of its brands.
BLOCKED_NAMES = frozenset(
    {
        "AUDIT_SIGNING_KEY_PRIVATE",
        "AUDIT_SIGNING_KEY_PUBLIC",
        "CODE_INTEL_HOST_JWT_SECRET",
        "DONMAI_CREDENTIAL_CAPABILITY",
        "DONMAI_DAEMON_API_KEY",
        "DONMAI_DAEMON_JWT",
        "DONMAI_DAEMON_TOKEN",
        "DONMAI_ORCHESTRATOR_URL",
        "DONMAI_RUNTIME_JWT",
        "M2M_JWT_SECRET",
        "RENSEI_DAEMON_API_KEY",
        "RENSEI_DAEMON_JWT",
        "RENSEI_RUNTIME_JWT",
        "WORKER_API_KEY",
        "WORKOS_API_KEY",
        "WORKOS_COOKIE_PASSWORD",
    }
)

_ALPHABETS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
_LONGEST_PREFIX = 12

Choose = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a session stands: its project, if it named one, and its environment."""

    project_id: str | None
    env_name: str

    def sees(self, credential: Credential) -> bool:
        """Say whether a credential of the same org is this session's too."""
        return credential.project_id in (None, self.project_id) and (
            credential.env_name in (None, self.env_name)
        )


def merged(credentials: Iterable[Credential], scope: Scope) -> dict[str, Credential]:
    """Return what `scope` sees, by name; environment wins over project over org."""
    visible = [c for c in credentials if scope.sees(c) and c.name not in BLOCKED_NAMES]
    visible.sort(key=lambda c: (c.env_name is not None, c.project_id is not None))
    return {credential.name: credential for credential in visible}


def fresh_value(old: str, choose: Choose = secrets.choice) -> str:
    """Return another value of the same shape: `ghp_a1B2` may become `ghp_k7Q0`.

    A short prefix that ends in `_` or `-` says what kind of token it is, and stays;
    after it a digit becomes a digit, a letter a letter of its case.
    """
    cut = _prefix_length(old)
    prefix, rest = old[:cut], old[cut:]
    if not any(character in alphabet for alphabet in _ALPHABETS for character in rest):
        return old + "".join(choose(string.digits) for _ in range(8))
    while True:
        value = prefix + "".join(_another(character, choose) for character in rest)
        if value != old:
            return value


def _prefix_length(value: str) -> int:
    head = value[:_LONGEST_PREFIX]
    cut = max(head.rfind("_"), head.rfind("-")) + 1
    return cut if cut < len(value) else 0


def _another(character: str, choose: Choose) -> str:
    for alphabet in _ALPHABETS:
        if character in alphabet:
            return choose(alphabet)
    return character
