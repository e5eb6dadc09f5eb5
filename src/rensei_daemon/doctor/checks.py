"""All groups of checks, in the order in which they are shown."""

from collections.abc import Mapping

from rensei_daemon.doctor.api_key import check_api_key
from rensei_daemon.doctor.configuration import check_configuration
from rensei_daemon.doctor.daemon import check_daemon
from rensei_daemon.doctor.host_requirements import check_host_requirements
from rensei_daemon.doctor.platform import check_platform
from rensei_daemon.doctor.run_checks import Check
from rensei_daemon.doctor.sockets import check_sockets
from rensei_daemon.doctor.storage import check_storage
from rensei_daemon.doctor.unit import check_unit

CHECKS: Mapping[str, Check] = {
    "config": check_configuration,
    "needs": check_host_requirements,
    "key": check_api_key,
    "platform": check_platform,
    "daemon": check_daemon,
    "socket": check_sockets,
    "storage": check_storage,
    "unit": check_unit,
}
"""By the code that is reported if a group does not finish in time."""
