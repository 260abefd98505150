#!/usr/bin/env bash
# Sets up whatever the tests need and runs all of them: formatting, lints, tests, and each fuzz target for a moment.
#
#   tests/run.sh            everything
#   FUZZ_SECONDS=60 tests/run.sh
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n== %s\n' "$*"; }

# Tools that compare a restored tree independently of larder. As root on Debian they are installed when missing.
missing=()
for pair in getfattr:attr setfacl:acl setcap:libcap2-bin rsync:rsync mkfs.btrfs:btrfs-progs chattr:e2fsprogs valgrind:valgrind strace:strace; do
  command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"
  else
    echo "some tests pass over what these would show: ${missing[*]}"
  fi
fi

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
