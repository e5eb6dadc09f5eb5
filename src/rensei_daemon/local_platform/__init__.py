"""The platform in small: real HTTP on loopback, for development, tests and labs."""
