"""On which databases a test runs that asks for one: on both kinds, if it says nothing."""

import pytest

one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what is decided before the database is asked, or by another test on both kinds."""
