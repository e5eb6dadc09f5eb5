# Become a container's PID 1: no engine, the same kernel features.
#
#   enter.sh SCRATCH STAGE PREFIX PACKAGES CONFIG UID PROGRAM ARGUMENTS…
#
# To be run inside fresh mount and pid namespaces. The root is this system's with STAGE copied onto it,
# read only; PREFIX, an interpreter's, and PACKAGES, its site-packages, show at /opt. Of the volumes
# /run/rensei-daemon is in memory, /var/lib/rensei-daemon and CONFIG at /etc/rensei-daemon are
# the caller's. UID has no entry in passwd, no groups and no privilege.
set -eu
scratch=$1 stage=$2 prefix=$3 packages=$4 config=$5 uid=$6
shift 6
root=$scratch/root

mount --make-rprivate /
mkdir "$root" "$scratch/layer"
mount -t tmpfs tmpfs "$scratch/layer"
mkdir "$scratch/layer/upper" "$scratch/layer/work"
mount -t overlay overlay \
  -o "lowerdir=/,upperdir=$scratch/layer/upper,workdir=$scratch/layer/work" "$root"
cp -r "$stage/." "$root/"
mkdir -p "$root/opt/python" "$root/opt/packages" "$root/etc/rensei-daemon" \
  "$root/run/rensei-daemon" "$root/var/lib/rensei-daemon"
mount --bind "$prefix" "$root/opt/python"
mount --bind "$packages" "$root/opt/packages"
# Some interpreters have a library of their own, and find it only where they were built.
echo /opt/python/lib >"$root/etc/ld.so.conf.d/00-opt-python.conf"
chroot "$root" /sbin/ldconfig
mount -o remount,bind,ro "$root"

mount -t tmpfs -o "mode=711,uid=$uid,gid=$uid" tmpfs "$root/run/rensei-daemon"
mount --bind "$config/state" "$root/var/lib/rensei-daemon"
mount --bind "$config/etc" "$root/etc/rensei-daemon"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

mount --rbind "$root" "$root"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i PATH=/usr/bin:/bin \
  setpriv "--reuid=$uid" "--regid=$uid" --clear-groups --no-new-privs --bounding-set=-all \
  "$@"
