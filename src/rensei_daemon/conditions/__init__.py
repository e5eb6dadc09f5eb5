"""Puts conditions on the board that several tasks, or none of them, find out."""
