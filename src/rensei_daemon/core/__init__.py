"""Pure functions and values: no clock, no file, no socket, no log."""
