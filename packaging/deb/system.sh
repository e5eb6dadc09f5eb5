#!/bin/sh
# Make a minimal Debian system in a directory, unless it is there already. Takes root.
#
#   system.sh RELEASE DIRECTORY PACKAGE,PACKAGE...
set -eu
release=$1 directory=$2 packages=$3

if [ "$(id -u)" != 0 ]; then
  echo "A minimal Debian takes root, to make and to enter: run this as root." >&2
  exit 1
fi
[ -x "$directory/usr/bin/python3" ] && exit 0
if ! command -v debootstrap >/dev/null; then
  echo "There is no debootstrap here. Run: apt-get install debootstrap" >&2
  exit 1
fi
echo "Making a minimal Debian $release in $directory, about a minute ..."
rm -rf "$directory" "$directory.part"
mkdir -p "$(dirname "$directory")"
if ! debootstrap --variant=minbase --include="$packages" "$release" "$directory.part" \
  ${MIRROR:+"$MIRROR"} >"$directory.log" 2>&1; then
  tail -n 20 "$directory.log" >&2
  echo "debootstrap failed; all it said is in $directory.log. Needs a Debian mirror." >&2
  exit 1
fi
mv "$directory.part" "$directory"
