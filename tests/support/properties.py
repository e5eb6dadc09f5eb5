"""The pytest plugin that has properties tried on few examples, and on many in `make soak`.

How long one takes depends on what else the machine does, so that is no reason to fail.
"""

import os

from hypothesis import HealthCheck, settings

_ANY_PACE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("test", _ANY_PACE, max_examples=20)
settings.register_profile("soak", _ANY_PACE, max_examples=2000)
settings.load_profile(os.environ.get("RENSEI_TEST_PROPERTIES", "test"))
