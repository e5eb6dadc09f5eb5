"""How many examples a property is tried on: few in `make test`, many in `make soak`."""

import os

from hypothesis import settings

settings.register_profile("test", max_examples=20)
settings.register_profile("soak", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("RENSEI_TEST_PROPERTIES", "test"))
