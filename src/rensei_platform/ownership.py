"""Files that root makes in a directory of the service's user."""

import os
from contextlib import suppress
from pathlib import Path


def give_to_owner_of_directory(*files: Path) -> None:
    """Give files to whom their directory belongs, if root has made them.

    So that a command which an operator runs as root leaves nothing behind that the service
    cannot open. A link is left alone.
    """
    if os.geteuid() != 0:
        return
    for file in files:
        owner = file.parent.stat()
        with suppress(FileNotFoundError):
            os.chown(file, owner.st_uid, owner.st_gid, follow_symlinks=False)
