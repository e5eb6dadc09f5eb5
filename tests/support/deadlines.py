"""How long tests wait: one number for everything that bounds a hang, and nothing more."""

HANG_SECONDS = 45.0
"""What a test waits for comes long before this, also on a busy machine; it costs nothing
unless the test fails. The daemon's timers of a minute come after it, so what is done at
once is told from what a timer does. Speed is measured by tests/bench."""
