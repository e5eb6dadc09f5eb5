"""The command line of rensei-platform."""
