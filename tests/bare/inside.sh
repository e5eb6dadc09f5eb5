# Make a directory a machine of its own, and run a command on it as a user.
#
#   inside.sh ROOT USER DIRECTORY LOAD SHM_KIB COMMAND...
#
# To be run as the first process of fresh mount, pid, uts and ipc namespaces. The machine
# has no init and no cgroups; LOAD processes keep it busy, /dev/shm has SHM_KIB. Its network
# is the outside's: pip fetches packages. What COMMAND leaves running is named in ROOT/left.
set -eu
root=$1 user=$2 directory=$3 load=$4 shm=$5
shift 5

mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o "mode=1777,size=${shm}k" tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

own=" $$ "
while [ "$load" -gt 0 ]; do
  load=$((load - 1))
  sh -c 'while :; do :; done' &
  own="$own$! "
done

code=0
setpriv --reuid="$user" --regid="$user" --init-groups env -C "$directory" "$@" || code=$?

for process in /proc/[0-9]*; do
  pid=${process##*/}
  case $own in *" $pid "*) ;; *) tr '\0' ' ' <"$process/cmdline" && echo ;; esac
done >/left 2>/dev/null || true
exit "$code"
