"""The daemon, seen from its own host: HTTP over a unix socket."""
