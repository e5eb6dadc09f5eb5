"""The load of platform_numbers.py: a world of rows, and who sends requests."""
