"""The page that leads from nothing to a rotation: it works as it stands there."""

import pytest
from console_page import PAGE, record, steady

pytestmark = pytest.mark.slow


@pytest.mark.needs("bash", "openbao")
def test_a_day_of_an_operator() -> None:
    """Two hosts, one refuses a project, both follow a rotation, and the audit has it.

    `python tests/docs/console_page.py` records the page anew.
    """
    page = PAGE.read_text()
    assert steady(record(page)) == steady(page)
