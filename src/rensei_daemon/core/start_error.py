"""Why the system could not start a program, and how to fix it."""

import errno

_REASONS = {
    errno.ENOENT: "No such file or directory: the program, or the one that its #! line "
    "names",
    errno.ENOEXEC: "Exec format error: no #! line, or built for another machine",
    errno.E2BIG: "Argument list too long: a value, or all of them, is more than the "
    "system takes",
}


def explain_start_error(error: Exception) -> str:
    """Return the reason; `error` was raised when starting the program."""
    code = getattr(error, "errno", None)
    why = getattr(error, "strerror", None) or type(error).__name__
    return _REASONS.get(code, why) if isinstance(code, int) else why
