"""The platform, seen from this host."""
