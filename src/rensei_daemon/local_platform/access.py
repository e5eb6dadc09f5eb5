"""Who asks, and may they: bearers, roles, and the wall between two tenants."""

import hashlib
from dataclasses import dataclass

from rensei_daemon.local_platform import tokens
from rensei_daemon.local_platform.ledger import Ledger
from rensei_daemon.local_platform.records import ADMIN_ROLES, Host, Worker
from rensei_daemon.local_platform.refusal import (
    RefusalError,
    forbidden,
    not_found,
    unauthorized,
)

KEY_PREFIX = "rsk_live_"
LEGACY_PREFIX = "rsp_live_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a bearer speaks for."""

    org_id: str
    key_id: str
    actor: str
    """For the audit and `requestedBy`: the key's owner, or the worker's id."""
    role: str | None = None
    """The role of the key's owner; None for a worker."""
    worker_id: str | None = None
    """The worker, when the bearer is a runtime token."""


def key_digest(key: str) -> str:
    """Return what is kept of an API key."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()


def key_caller(ledger: Ledger, bearer: str | None) -> Caller:
    """Return who an API key, new or legacy, speaks for; 401 when it is not ours."""
    digest = key_digest(bearer or "")
    for key in ledger.tables.keys.values():
        if key.digest == digest and not key.is_revoked:
            return Caller(org_id=key.org_id, key_id=key.id, actor=key.owner, role=key.role)
    raise unauthorized()


def operator_caller(ledger: Ledger, bearer: str | None) -> Caller:
    """Return who asks under /api/daemon: only an `rsk_` key is taken there."""
    if bearer is None or not bearer.startswith(KEY_PREFIX):
        raise unauthorized()
    return key_caller(ledger, bearer)


def token_caller(ledger: Ledger, bearer: str | None) -> Caller:
    """Return the worker a runtime token speaks for; 401 when forged or expired."""
    try:
        claims = tokens.read(bearer or "", ledger.signing_secret())
    except tokens.BadTokenError:
        raise unauthorized() from None
    is_withdrawn = claims["iat"] < ledger.tokens_valid_from
    if is_withdrawn or claims["exp"] <= ledger.clock().timestamp():
        raise unauthorized("Runtime token expired")
    return Caller(
        org_id=claims["org"],
        key_id=claims["reg"],
        actor=claims["sub"],
        worker_id=claims["sub"],
    )


def is_stale_token(ledger: Ledger, bearer: str | None) -> bool:
    """Say whether the bearer is a runtime token that is good for nothing any more."""
    if bearer is None or not tokens.is_token(bearer):
        return False
    try:
        token_caller(ledger, bearer)
    except RefusalError:
        return True
    return False


def worker_caller(ledger: Ledger, bearer: str | None, worker_id: str) -> Worker:
    """Return the worker of the path, if the bearer, key or token, may speak for it."""
    is_token = tokens.is_token(bearer or "")
    caller = (token_caller if is_token else key_caller)(ledger, bearer)
    if is_token and caller.worker_id != worker_id:
        raise forbidden("Runtime token belongs to another worker")
    worker = ledger.tables.workers.get(worker_id)
    if worker is None or worker.is_forgotten:
        raise not_found("Worker")
    require_org(caller, worker.org_id)
    return worker


def require_org(caller: Caller, org_id: str) -> None:
    """Refuse, with 403, whoever asks about another tenant."""
    if caller.org_id != org_id:
        raise forbidden("Organization mismatch")


def require_admin(caller: Caller) -> None:
    """Refuse, with 403, a key whose owner is neither owner nor admin."""
    if caller.role not in ADMIN_ROLES:
        raise forbidden("Organization admin or owner role required")


def own_host(ledger: Ledger, caller: Caller, host_id: str) -> Host:
    """Return a host of the caller's org; another's is as good as none: 404."""
    host = ledger.tables.hosts.get(host_id)
    if host is None or host.org_id != caller.org_id:
        raise not_found("Host")
    return host
