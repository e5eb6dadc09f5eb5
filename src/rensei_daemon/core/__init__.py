"""The pure part: values in, values out. No clock, no file, no socket, no log."""
