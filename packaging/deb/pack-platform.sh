#!/bin/sh
# Pack the control plane, with packages of its own; pack.sh runs this after the daemon's.
#
#   pack-platform.sh WHEEL VERSION
set -eu
wheel=$1 version=$2 source=/build/source output=/build/output tree=/build/platform
lib=$tree/usr/lib/rensei-platform doc=$tree/usr/share/doc/rensei-platform
umask 022

/build/venv/bin/pip --quiet install --no-index --find-links "$output/wheels" --no-compile \
  --target "$lib" "/build/$wheel[platform]"
rm -rf "$lib/bin"
find "$lib" -name direct_url.json -delete
find "$lib" -type f -exec chmod 644 {} +
/usr/bin/python3 -I -m compileall -q -s "$tree" -p / \
  --invalidation-mode unchecked-hash "$lib"

put() { install -D -m "$1" "$2" "$3"; }
systemd=$source/packaging/systemd
put 755 "$source/packaging/deb/rensei-platform" "$tree/usr/bin/rensei-platform"
put 644 "$systemd/rensei-platform.service" "$tree/usr/lib/systemd/system/rensei-platform.service"
put 644 "$systemd/rensei-platform.sysusers.conf" "$tree/usr/lib/sysusers.d/rensei-platform.conf"
put 644 "$source/platform.example.toml" "$tree/usr/share/rensei-platform/platform.example.toml"
put 644 "$source/packaging/deb/copyright" "$doc/copyright"
put 644 "$source/docs/control-plane.md" "$doc/control-plane.md"
put 644 "$source/docs/providers.md" "$doc/providers.md"
put 644 "$source/CHANGELOG.md" "$doc/changelog"
gzip -9n "$doc/changelog"

control=$tree/DEBIAN
mkdir "$control"
for script in postinst prerm postrm; do
  put 755 "$source/packaging/deb/platform.$script" "$control/$script"
done
minor=$(/usr/bin/python3 -c 'import sys; print(sys.version_info.minor)')
arch=$(dpkg --print-architecture)
cat >"$control/control" <<END
Package: rensei-platform
Version: $version
Architecture: $arch
Maintainer: The rensei-daemon authors <rensei-daemon@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f1)
Depends: python3 (>= 3.$minor~), python3 (<< 3.$((minor + 1))~), libc6 (>= 2.17), systemd
Suggests: postgresql-client
Homepage: https://rensei.ai
Description: control plane of a Rensei fleet
 The server that worker hosts register with, beat to and take credentials
 from: one process with an embedded database, or several on PostgreSQL.
 .
 Brings its Python packages along; of the system's Python it uses the
 interpreter alone.
END
(cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$control/md5sums"
chmod 644 "$control/control" "$control/md5sums"
find "$tree" -newermt "@$SOURCE_DATE_EPOCH" -exec touch --no-dereference -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz --build "$tree" \
  "$output/rensei-platform_${version}_$arch.deb" >/dev/null
