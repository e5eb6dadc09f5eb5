"""The command line: one module a command, named for the word that the user types.

`main` imports a command's module when the command is used, so a short one (`status`,
`exec`) never pays for a long one; and `run`, which lives for months, never for click.
"""

PROGRAM = "rensei-daemon"
