# Become a container's PID 1: no engine, the same kernel features.
#
#   enter.sh SCRATCH STAGE PREFIX PACKAGES VOLUMES ACCESS UID GID GROUPS PROGRAM ARGUMENTS…
#
# To be run inside fresh mount and pid namespaces. The root is this system's with STAGE copied
# onto it, read only; PREFIX, an interpreter's, and PACKAGES, its site-packages, show at /opt.
# VOLUMES has the directories etc, state and run, of which the last is mounted with ACCESS: rw
# or ro. Neither UID nor GID nor GROUPS need an entry in the books; there is no privilege.
set -eu
scratch=$1 stage=$2 prefix=$3 packages=$4 volumes=$5 access=$6 uid=$7 gid=$8 groups=$9
shift 9
root=$scratch/root

mount --make-rprivate /
mkdir "$root" "$scratch/layer"
mount -t tmpfs tmpfs "$scratch/layer"
mkdir "$scratch/layer/upper" "$scratch/layer/work"
mount -t overlay overlay \
  -o "lowerdir=/,upperdir=$scratch/layer/upper,workdir=$scratch/layer/work" "$root"
# The bytecode is of files with these times.
cp -r --preserve=timestamps "$stage/." "$root/"
mkdir -p "$root/opt/python" "$root/opt/packages" "$root/etc/rensei-daemon" \
  "$root/run/rensei-daemon" "$root/var/lib/rensei-daemon"
mount --bind "$prefix" "$root/opt/python"
mount --bind "$packages" "$root/opt/packages"
# Some interpreters have a library of their own, and find it only where they were built.
echo /opt/python/lib >"$root/etc/ld.so.conf.d/00-opt-python.conf"
chroot "$root" /sbin/ldconfig
mount -o remount,bind,ro "$root"

mount --bind "$volumes/etc" "$root/etc/rensei-daemon"
mount --bind "$volumes/state" "$root/var/lib/rensei-daemon"
mount --bind "$volumes/run" "$root/run/rensei-daemon"
mount -o "remount,bind,$access" "$root/run/rensei-daemon"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"

mount --rbind "$root" "$root"
cd "$root"
pivot_root . mnt
umount -l /mnt
exec env -i PATH=/usr/bin:/bin \
  setpriv "--reuid=$uid" "--regid=$gid" "--groups=$groups" --no-new-privs --bounding-set=-all \
  "$@"
