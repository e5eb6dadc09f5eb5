"""Decisions over values: no input, no output, no clock."""
