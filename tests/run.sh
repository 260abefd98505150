#!/usr/bin/env bash
# Sets up whatever the tests need and runs all of them: formatting, lints, tests, and each fuzz target for a moment.
#
#   tests/run.sh            everything
#   FUZZ_SECONDS=60 tests/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# What the tests need, by program:package. As root on Debian the packages are installed when a program is missing.
missing_of() {
  for pair in "$@"; do
    command -v "${pair%%:*}" > /dev/null || echo "${pair##*:}"
  done | sort -u
}
required=(getfattr:attr setfattr:attr setfacl:acl getfacl:acl setcap:libcap2-bin rsync:rsync mkfs.btrfs:btrfs-progs chattr:e2fsprogs
  lsattr:e2fsprogs mkfs.ext4:e2fsprogs mke2fs:e2fsprogs valgrind:valgrind strace:strace)
more=(debugfs:e2fsprogs sqlite3:sqlite3 bindfs:bindfs python3:python3 dpkg-deb:dpkg tar:tar setpriv:util-linux unshare:util-linux
  losetup:mount mount:mount mkfifo:coreutils)
mapfile -t missing < <(missing_of "${required[@]}")
mapfile -t wanted < <(missing_of "${more[@]}")
if [ ${#missing[@]} -gt 0 ] || [ ${#wanted[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    install() { apt-get install -y -qq --no-install-recommends "$@"; }
    if [ ${#missing[@]} -gt 0 ]; then apt-get update -qq && install "${missing[@]}"; else apt-get update -qq || true; fi
    [ ${#wanted[@]} -eq 0 ] || install "${wanted[@]}" || echo "could not be installed: ${wanted[*]}"
  else
    echo "not installed, which takes root and apt-get: ${missing[*]} ${wanted[*]}"
  fi
fi

# A lack makes a test fail, so that no run passes by not running. Excepted is what this machine is seen not to have.
. tests/may-lack.sh

say "formatting"
cargo fmt --check
say "lints"
cargo clippy --quiet --all-targets -- -D warnings
cargo clippy --quiet --no-default-features --features cli --lib -- -D warnings
cargo check --quiet --no-default-features --lib
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-default-features --no-deps --lib
cargo clippy --quiet --all-targets --features aws-lc -- -D warnings
say "fuzz targets, ${FUZZ_SECONDS:-2} s each"
fuzz/run.sh "${FUZZ_SECONDS:-2}"
say "memory of an index of 10^6 rows"
cargo bench --quiet --bench index -- memory 1000000
say "the gate: counters, instructions, kernels against their references"
benches/ci-gate.sh
say "tests"
cargo test --no-fail-fast
say "sealing by AWS-LC: the same bytes"
cargo test --quiet --features aws-lc --lib crypto
say "the page of a report, in a browser"
tests/page.sh
