"""The log: writing it to a file, the journal or a terminal, and reading it back."""
