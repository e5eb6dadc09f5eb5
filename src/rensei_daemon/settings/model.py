"""What the rest of the program needs of `schema` and pydantic, imported without plugins.

Plugins of pydantic that happen to be installed would see the settings. The variable that
keeps them out is set while the classes are made, and is not passed on to the processes that
we start. So nothing else imports pydantic.
"""

import os

from rensei_daemon.trimmed_imports import import_zoneinfo

_VARIABLE = "PYDANTIC_DISABLE_PLUGINS"

_given = os.environ.get(_VARIABLE)
os.environ[_VARIABLE] = "__all__"
try:
    import_zoneinfo()
    from pydantic import BaseModel as BaseModel
    from pydantic import ValidationError as ValidationError
    from pydantic_core import ErrorDetails as ErrorDetails
    from pydantic_settings import BaseSettings as BaseSettings
    from pydantic_settings.sources import InitSettingsSource as InitSettingsSource

    from rensei_daemon.settings.schema import Section as Section
    from rensei_daemon.settings.schema import Settings as Settings
    from rensei_daemon.settings.schema import model_of as model_of
finally:
    if _given is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = _given
