#!/bin/sh
# Build the package for a Debian release, in a minimal system of that release.
#
#   build.sh RELEASE WHEEL OUTPUT
#
# WHEEL is the daemon's own. OUTPUT gets the package and, in wheels/, what is vendored in it;
# the system, once made, is kept there in build-system/. Needs root, debootstrap, a Debian
# mirror (MIRROR=URL for one of your own) and a package index (PIP_INDEX_URL, PIP_CERT).
set -eu
release=$1 wheel=$(realpath "$2") output=$3
source=$(realpath "$(dirname "$0")/../..")
mkdir -p "$output" && output=$(realpath "$output")
system=$output/build-system

"$source/packaging/deb/system.sh" "$release" "$system" python3,python3-venv,ca-certificates
: "${SOURCE_DATE_EPOCH:=$(git -C "$source" log -1 --format=%ct 2>/dev/null || date +%s)}"
certificates=${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}
# In there only what leads to the index is the same.
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE PYTHONPATH PYTHONHOME
unset SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
export SOURCE_DATE_EPOCH PIP_CERT=/build/certificates.crt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/build LC_ALL=C.UTF-8

mkdir -p "$system/build" "$output/wheels"
rm -f "$output"/wheels/*
# Mounts of our own, which end with us.
exec unshare --mount --propagation private sh -eu -c '
  system=$1 source=$2 output=$3 wheel=$4 certificates=$5; shift 5
  mount -t tmpfs -o mode=755 tmpfs "$system/build"
  mkdir "$system/build/source" "$system/build/output"
  mount --bind "$source" "$system/build/source"
  mount -o remount,bind,ro "$system/build/source"
  mount --bind "$output" "$system/build/output"
  mount -t proc proc "$system/proc"
  cp /etc/resolv.conf "$system/build/resolv.conf"
  mount --bind "$system/build/resolv.conf" "$system/etc/resolv.conf"
  [ ! -e "$certificates" ] || cp "$certificates" "$system/build/certificates.crt"
  cp "$wheel" "$system/build/"
  exec chroot "$system" "$@"
' sh "$system" "$source" "$output" "$wheel" "$certificates" \
  sh /build/source/packaging/deb/pack.sh "$(basename "$wheel")"
