"""Browsers in which somebody has signed in to an account before.

Wrong passwords are limited for each account, wherever they come from, so a stranger could
keep its owner out by sending some all the time. A browser that the owner has used has a
cookie that says so, and its attempts are counted apart. It opens nothing by itself.
Nothing is stored: the cookie is sealed with the master key, for any server to read.
"""

from datetime import datetime, timedelta

from rensei_platform.ids import new_id
from rensei_platform.rules.times import to_milliseconds
from rensei_platform.sealing import Sealer, SealingError

KNOWN_FOR = timedelta(days=90)
_IDENTITY = "known browser"
LONGEST = 2048
"""Characters of a cookie that are looked at."""
_LONGEST_EMAIL = 254


def issue(sealer: Sealer, email: str, now: datetime) -> str:
    """Return what a browser keeps once somebody has signed in to the account with it."""
    until = to_milliseconds(now + KNOWN_FOR)
    return sealer.seal(f"{until} {new_id('browser')} {email.lower()}", _IDENTITY)


def account_of(sealer: Sealer, known: str | None, email: str, now: datetime) -> str:
    """Return what wrong passwords for an account are counted under.

    The account itself, wherever they come from; or the browser, if the account knows it.
    """
    account = email.lower()[:_LONGEST_EMAIL]
    if known is None or len(known) > LONGEST:
        return account
    try:
        until, browser, of = sealer.unseal(known, _IDENTITY).split(" ", 2)
    except SealingError:
        return account
    return browser if of == account and to_milliseconds(now) < int(until) else account
