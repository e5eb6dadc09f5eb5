"""The limits of foreign texts: every length limit of the wire and the file.

A text is measured before anything else is done with it. A longer one is refused with a
message; nothing is shortened and then used as if complete.
"""

MAX_CONFIG_BYTES = 16 * 1024 * 1024
"""Of `config.toml`, for reading and editing."""

MAX_ID = 256
"""Characters of an id: a mutation's, a project's, a pool's."""
MAX_OP = 128
MAX_REQUESTER = 512
MAX_REPOSITORY = 4096
MAX_TEXT = 64 * 1024
"""Characters of any other text of a mutation."""
MAX_PARAMS = 256 * 1024
"""Characters of a mutation's params as canonical JSON."""
