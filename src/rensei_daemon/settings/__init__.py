"""The operator's settings: text and environment in, one frozen value out.

No plugin of pydantic's that happens to be installed may see them. The variable that says
so is set while the models are made, and not for the processes that the daemon starts.
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
