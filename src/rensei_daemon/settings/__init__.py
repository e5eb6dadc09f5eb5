"""The operator's settings: from a text and an environment to one frozen value."""
