"""The operator's settings: text and environment in, one frozen value out."""

import sys

from rensei_daemon.settings import no_plugins

sys.modules.setdefault(no_plugins.NAME, no_plugins)
