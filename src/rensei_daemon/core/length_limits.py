"""How much of a foreign text is looked at: every length that the wire and the file have.

A text is measured before anything else is done with it. What is longer is refused, in
words; nothing is cut and then taken for whole.
"""

MAX_CONFIG_BYTES = 16 * 1024 * 1024
"""Of `config.toml`, when it is read and when it is edited."""

MAX_ID = 256
"""Characters of an id: a mutation's, a project's, a pool's."""
MAX_OP = 128
MAX_REQUESTER = 512
MAX_REPOSITORY = 4096
MAX_TEXT = 64 * 1024
"""Characters of any other text of a mutation."""
MAX_PARAMS = 256 * 1024
"""Characters of a mutation's params as canonical JSON."""
