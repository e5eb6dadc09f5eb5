"""A platform whose every answer is wrong in some way, and what must hold all the same."""
