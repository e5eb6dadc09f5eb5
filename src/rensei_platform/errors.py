"""Every error the control plane raises on purpose, split by who must act.

The caller (`RequestError`), the operator (`SettingsError`, `StartError`), a credential
provider (`ProviderError`), or nobody: the caller tries again later (`UnavailableError`).
A message never holds a value of a credential, a key or a token.
"""


class PlatformError(Exception):
    """The control plane could not do what it was asked."""

    exit_code = 1
    status = 500
    """The HTTP status of an answer that reports this error."""

    def __init__(self, message: str | None = None, *, hint: str = "") -> None:
        super().__init__(message or type(self).__doc__ or "")
        self.hint = hint


# ---- the operator ------------------------------------------------------------------------


class SettingsError(PlatformError):
    """A setting is wrong."""

    exit_code = 78


class NotPermittedError(SettingsError):
    """This user may not read a file that is needed."""

    exit_code = 77


class StartError(PlatformError):
    """The program cannot start now; it may later."""

    exit_code = 75


class StorageError(PlatformError):
    """A file cannot be written."""

    exit_code = 73


class SchemaError(PlatformError):
    """The database's schema is not one that this version can use."""

    exit_code = 78


# ---- the caller --------------------------------------------------------------------------


class RequestError(PlatformError):
    """The request was refused."""

    status = 400


class InvalidRequestError(RequestError):
    """A field of the request is missing or malformed."""


class UnauthorizedError(RequestError):
    """Unauthorized"""  # noqa: D400 - the wire's text

    status = 401


class ForbiddenError(RequestError):
    """The caller may not do this."""

    status = 403


class NotFoundError(RequestError):
    """There is no such thing in the caller's organization."""

    status = 404


class ConflictError(RequestError):
    """The request contradicts what is already there."""

    status = 409


class TooLargeError(RequestError):
    """The request is too large."""

    status = 413


class TooManyRequestsError(RequestError):
    """Too many refused requests from this address."""

    status = 429

    def __init__(self, message: str | None = None, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


# ---- others ------------------------------------------------------------------------------


class ProviderError(PlatformError):
    """A credential provider failed; nobody was notified."""

    status = 502


class UnavailableError(PlatformError):
    """The database cannot be reached; try again later."""

    exit_code = 69
    status = 503

    def __init__(
        self, message: str | None = None, *, hint: str = "", retry_after_seconds: int = 5
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds
