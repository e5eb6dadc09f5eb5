"""How a soak ends that is run as a script."""

from program_end import leaving_nothing

__all__ = ["leaving_nothing"]
