"""A new key that goes into a file instead of onto the terminal."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from rensei_platform.errors import StorageError

write_key_option = click.option(
    "--write-key",
    "new_key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the key to this new file, mode 0600, instead of printing it.",
)


@contextmanager
def new_key_file(file: Path | None) -> Iterator[None]:
    """Make the file before the key, which would be lost with a file that cannot be made.

    It is removed if the block fails. Raise StorageError if there is such a file.
    """
    if file is None:
        yield
        return
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except OSError as error:
        raise StorageError(
            f"{file}: cannot write the key: {error.strerror}", hint="Name a new file."
        ) from error
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def shown_key(key: str, file: Path | None) -> str:
    """Return what is printed of a key: the key, or the file that it is written to now."""
    if file is None:
        return f"shown once: {key}"
    file.write_text(f"{key}\n")
    return f"in {file}"


def key_fields(key: str, file: Path | None) -> dict[str, str]:
    """Return what `--json` shows of a key: the key, or the file that it is written to."""
    return {"key": key} if file is None else {"keyFile": str(file)}
