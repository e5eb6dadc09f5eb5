#!/bin/sh
# Print the package's version for a wheel's name and a Debian release.
#
#   version.sh rensei_daemon-0.1.0+g0a8455b-py3-none-any.whl 12
#
# A commit's name does not sort by age, so its time, SOURCE_DATE_EPOCH, goes before it. What
# is built for a later release of Debian is newer, for a host that is upgraded to it.
set -eu
named=${1#*-} && named=${named%%-*}
case $named in
*+*) named="${named%%+*}+$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${named#*+}" ;;
esac
echo "$named-1~deb$2"
