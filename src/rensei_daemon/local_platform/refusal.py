"""How this platform says no: a rule raises a status and a sentence; the app sends."""


class RefusalError(Exception):
    """The request is answered with `status` and `{"error": message}`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        """The HTTP status."""
        self.message = message
        """What the caller is told; never a credential's value."""


def unauthorized(message: str = "Unauthorized") -> RefusalError:
    """Say 401: we do not know who asks."""
    return RefusalError(401, message)


def forbidden(message: str) -> RefusalError:
    """Say 403: we know who asks, and it is not theirs."""
    return RefusalError(403, message)


def not_found(what: str) -> RefusalError:
    """Say 404: there is no such thing, or none that the caller may know of."""
    return RefusalError(404, f"{what} not found")


def invalid(message: str) -> RefusalError:
    """Say 400: the request itself is wrong."""
    return RefusalError(400, message)
