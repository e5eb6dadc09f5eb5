"""The command line: one module for each command, named like the command.

`main` imports the module of a command only when it is used, so a short command (`status`,
`exec`) does not wait for the imports of others, and `run`, which lives for months, does not
import click.
"""

PROGRAM = "rensei-daemon"
