"""The HTTP interface: thin shells around the services."""
