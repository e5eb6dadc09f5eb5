"""The operator's settings: from a text and an environment to one frozen value.

pydantic must not load plugins that happen to be installed: they would see the settings. The
variable that prevents it is set while the models are created, and is not passed on to the
processes that the daemon starts.
"""

import os

_VARIABLE = "PYDANTIC_DISABLE_PLUGINS"

_given = os.environ.get(_VARIABLE)
os.environ[_VARIABLE] = "__all__"
try:
    from rensei_daemon.settings import model as model
finally:
    if _given is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = _given
