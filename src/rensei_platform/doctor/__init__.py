"""Checks of a server's surroundings, without a server."""
