"""Every row, in the order of the numbers to reach."""

from host_rows import commands, rotation

ROWS = (*rotation.ROWS, *commands.ROWS)
