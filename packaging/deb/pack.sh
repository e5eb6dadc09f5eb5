#!/bin/sh
# Lay the package out and pack it; build.sh runs this inside a minimal system.
#
#   pack.sh WHEEL
#
# Twice from the same commit gives the same bytes: times are the commit's, and bytecode is
# found good by what the source is, not by when it was written.
set -eu
wheel=$1 source=/build/source output=/build/output tree=/build/tree
lib=$tree/usr/lib/rensei-daemon
export PYTHONHASHSEED=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
umask 022

echo "Fetching what is vendored, by the hashes in requirements.lock ..."
python3 -m venv /build/venv
pip="/build/venv/bin/pip --quiet"
$pip download --no-deps --only-binary=:all: --require-hashes \
  --requirement "$source/requirements.lock" --dest "$output/wheels"
# Of what is locked, the daemon alone and what it imports.
$pip install --no-index --find-links "$output/wheels" --no-compile --target "$lib" \
  "/build/$wheel"
rm -rf "$lib/bin"
find "$lib" -name direct_url.json -delete
find "$lib" -type f -exec chmod 644 {} +
/usr/bin/python3 -I -m compileall -q -s "$tree" -p / \
  --invalidation-mode unchecked-hash "$lib"

echo "Laying the package out ..."
share=$tree/usr/share doc=$tree/usr/share/doc/rensei-daemon
put() { install -D -m "$1" "$2" "$3"; }
put 755 "$source/packaging/deb/rensei-daemon" "$tree/usr/bin/rensei-daemon"
systemd=$source/packaging/systemd
put 644 "$systemd/rensei-daemon.service" "$tree/usr/lib/systemd/system/rensei-daemon.service"
put 644 "$systemd/sysusers.conf" "$tree/usr/lib/sysusers.d/rensei-daemon.conf"
put 644 "$systemd/tmpfiles.conf" "$tree/usr/lib/tmpfiles.d/rensei-daemon.conf"
completions=$source/packaging/completions
put 644 "$completions/rensei-daemon.bash" "$share/bash-completion/completions/rensei-daemon"
put 644 "$completions/_rensei-daemon" "$share/zsh/vendor-completions/_rensei-daemon"
put 644 "$completions/rensei-daemon.fish" "$share/fish/vendor_completions.d/rensei-daemon.fish"
put 644 "$source/config.example.toml" "$share/rensei-daemon/config.example.toml"
put 644 "$source/packaging/deb/copyright" "$doc/copyright"
put 644 "$source/packaging/deb/lintian-overrides" "$share/lintian/overrides/rensei-daemon"
put 644 "$source/CHANGELOG.md" "$doc/changelog"
cp -r "$systemd/examples" "$doc/examples"
PYTHONPATH=$lib /usr/bin/python3 "$source/tests/docs/man_pages.py" "$share/man/man1"

. /etc/os-release
version=$(sh "$source/packaging/deb/version.sh" "$wheel" "$VERSION_ID")
cat >"$doc/changelog.Debian" <<END
rensei-daemon ($version) $VERSION_CODENAME; urgency=medium

  * Built from its repository; see changelog.gz.

 -- The rensei-daemon authors <rensei-daemon@localhost>  $(date -uR -d "@$SOURCE_DATE_EPOCH")
END
find "$doc/changelog" "$doc/changelog.Debian" "$share/man" -type f -exec gzip -9n {} +

control=$tree/DEBIAN
mkdir "$control"
for script in postinst prerm postrm; do
  put 755 "$source/packaging/deb/$script" "$control/$script"
done
minor=$(/usr/bin/python3 -c 'import sys; print(sys.version_info.minor)')
arch=$(dpkg --print-architecture)
cat >"$control/control" <<END
Package: rensei-daemon
Version: $version
Architecture: $arch
Maintainer: The rensei-daemon authors <rensei-daemon@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~), libc6 (>= 2.17), systemd
Homepage: https://rensei.ai
Description: host agent of a Rensei fleet
 Keeps a worker host in step with the Rensei platform: what an operator asks
 of the host is written into its config.toml once, in order, without losing a
 comment; and credentials rotated upstream reach every process that uses them
 without a restart.
 .
 Brings its Python packages along; of the system's Python it uses the
 interpreter alone.
END
(cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$control/md5sums"
chmod 644 "$control/control" "$control/md5sums"
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
package=$output/rensei-daemon_${version}_$arch.deb
rm -f "$output"/*.deb
dpkg-deb --root-owner-group -Zxz --build "$tree" "$package" >/dev/null

sh "$source/packaging/deb/pack-platform.sh" "$wheel" "$version"
