"""When the program looks for garbage: hardly ever until a server serves."""

import gc

SELDOM = 100_000
_USUALLY = gc.get_threshold()


def collect_seldom() -> None:
    """Look for garbage when there are many new objects, as importing makes them.

    What is imported stays for ever, but the collector looks through all of it again and
    again, which is a quarter of a start. A command that lives for long still collects.
    """
    gc.set_threshold(SELDOM, *_USUALLY[1:])


def collect_as_usual() -> None:
    """Look for garbage as Python does, except in what was made so far.

    What of that is garbage stays, some hundred objects: to look for them takes longer than
    was saved.
    """
    gc.freeze()
    gc.set_threshold(*_USUALLY)
