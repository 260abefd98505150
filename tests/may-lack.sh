# Sourced by tests/run.sh: sets LARDER_TESTS_LACK_NOTHING, and LARDER_TESTS_MAY_LACK to what this machine does not have.
# Each need is tried the way the tests use it; docs/ci.md says what the needs are.

export LARDER_TESTS_LACK_NOTHING=1
LARDER_TESTS_MAY_LACK=${LARDER_TESTS_MAY_LACK:-}

may_lack() { # NEED WHY
  LARDER_TESTS_MAY_LACK+="${LARDER_TESTS_MAY_LACK:+,}$1"
  echo "this machine lacks $1: tests that need it are not run ($2)"
}
try() { # NEED WHY COMMAND…
  local need=$1 why=$2
  shift 2
  "$@" > /dev/null 2>&1 || may_lack "$need" "$why"
}
# In a mount namespace of its own, which takes away what was mounted.
mounting() { unshare --mount sh -euc "$1" sh "$trial"; }

trial=$(mktemp -d)
beside=$(mktemp -d -p /var/tmp) || beside= # Then what is tried there lacks.
touch "$trial/file" "$trial/flagged"
mkdir "$trial/at"

for pair in "${required[@]}" "${more[@]}"; do
  try "${pair%%:*}" "package ${pair##*:}" command -v "${pair%%:*}"
done
try root "the tests are not run as root" [ "$(id -u)" = 0 ]
try mount "nothing can be mounted" unshare --mount mount -t tmpfs none /mnt
try fuse "/dev/fuse does not open, or FUSE cannot be mounted" \
  mounting 'exec 3<>/dev/fuse; mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none "$1/at"'
try overlay "an overlay over / cannot be mounted" \
  mounting 'mount -t tmpfs none "$1/at"; cd "$1/at"; mkdir u w r; mount -t overlay overlay -o lowerdir=/,upperdir=$PWD/u,workdir=$PWD/w r'
truncate -s 64M "$trial/loop" "$trial/casefold"
truncate -s 300M "$trial/btrfs"
# Four at once, since so many tests that take one may run side by side.
try loop "four loop devices cannot be made, or no image mounted" mounting 'mkfs.ext4 -q -I 128 -F "$1/loop"
  for _ in 1 2 3 4; do losetup --find --show "$1/loop" >> "$1/loops"; done
  mount "$(head -n 1 "$1/loops")" "$1/at"'
[ ! -s "$trial/loops" ] || xargs -n 1 losetup -d < "$trial/loops" || true
try btrfs "no btrfs image can be mounted" \
  mounting 'mkfs.btrfs -q "$1/btrfs"; mount -o loop "$1/btrfs" "$1/at"'
try casefold "no ext4 image with casefold can be mounted" \
  mounting 'mkfs.ext4 -q -O casefold "$1/casefold"; mount -o loop "$1/casefold" "$1/at"; mkdir "$1/at/d"; chattr +F "$1/at/d"'
try devices "device nodes cannot be made" sh -ec 'mknod "$1/block" b 7 200; mknod "$1/null" c 1 3' sh "$trial"
for folder in "$trial" "$beside"; do
  try xattrs "$folder has none" setfattr -n user.note -v x "$folder"
  try acls "$folder has none" sh -ec 'setfacl -m u:12345:rx "$1"; setfacl -d -m u:12345:rx "$1"' sh "$folder"
done
try capabilities "setcap fails in $trial" setcap cap_net_raw+ep "$trial/file"
try flags "$trial has no file flags, or they may not be set" \
  sh -ec 'for flag in d a i; do chattr +$flag "$1/flagged"; chattr -$flag "$1/flagged"; done' sh "$trial"
try holes "$trial does not keep holes" \
  sh -ec 'truncate -s 8M "$1/sparse"; test "$(stat -c %b "$1/sparse")" -lt 1000' sh "$trial"
try times "$trial has no times after 2038" \
  sh -ec 'touch -d @2208988800 "$1/file"; test "$(stat -c %Y "$1/file")" = 2208988800' sh "$trial"
try proc "/proc/sys is not there, or not below another file system" \
  sh -ec 'test -e /proc/sys && test "$(stat -c %d /)" != "$(stat -c %d /proc)"'
try huge-pages "the kernel has none" [ -s /sys/kernel/mm/transparent_hugepage/enabled ] # A file in /sys has a size.
rm -rf "$trial" "$beside" || true
export LARDER_TESTS_MAY_LACK

# Where tests write what they lacked; tests that run as another user write there too.
LARDER_TESTS_LACKED=$(mktemp)
chmod 666 "$LARDER_TESTS_LACKED"
export LARDER_TESTS_LACKED
say_what_was_not_run() {
  if [ -s "$LARDER_TESTS_LACKED" ]; then
    echo "tests that were not run, or only in part:"
    sort -u "$LARDER_TESTS_LACKED"
  fi
  rm -f "$LARDER_TESTS_LACKED"
}
trap say_what_was_not_run EXIT
