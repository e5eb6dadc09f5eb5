# Become the PID 1 of a throw-away copy of a system.
#
#   boot.sh SYSTEM SCRATCH STAGE PREFIX PACKAGES
#
# To be run inside fresh mount, pid, net, uts, ipc and cgroup namespaces. Over SYSTEM lies
# a layer in memory, at SCRATCH; what is in STAGE is copied onto it. PREFIX, an interpreter's,
# and PACKAGES, its site-packages, show at /opt, where a service may read them.
set -eu
system=$1 scratch=$2 stage=$3 prefix=$4 packages=$5
root=$scratch/root

mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch"
mkdir "$root" "$scratch/upper" "$scratch/work"
mount -t overlay overlay \
  -o "lowerdir=$system,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mkdir -p "$root/opt/python" "$root/opt/packages"
mount --bind "$prefix" "$root/opt/python"
mount --bind "$packages" "$root/opt/packages"
# Some interpreters have a library of their own, and find it only where they were built.
echo /opt/python/lib >"$root/etc/ld.so.conf.d/00-opt-python.conf"
chroot "$root" /sbin/ldconfig
# Nothing is taken over from a daemon that lives on this host, or once did.
rm -rf "$root/var/log/journal" "$root/var/lib/rensei-daemon" "$root/etc/rensei-daemon" \
  "$root/etc/credstore" "$root"/etc/systemd/system/rensei-daemon* "$root/opt/rensei-daemon"
# The bytecode is of files with these times: without, each start would compile anew.
cp -r --preserve=timestamps "$stage/." "$root/"

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"

mount --rbind "$root" "$root"
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
# As outside of containers systemd does itself: services get their credentials through it.
mount --make-rshared /
exec env -i container=test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --system --unit=basic.target --log-target=null --show-status=no
