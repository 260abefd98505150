#!/usr/bin/env bash
# The rooms that use unsafe (tests/it/tidy.rs lists them), under the address sanitizer. Needs a nightly toolchain.
#
#   tests/asan.sh
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/asan"
# Leaks are not what is looked for; the guard of memory maps has its own handler for SIGBUS.
export ASAN_OPTIONS="detect_leaks=0:handle_sigbus=0:${ASAN_OPTIONS:-}"
cargo +nightly test --quiet --lib --no-default-features --target x86_64-unknown-linux-gnu -- \
  base::memory chunking:: codec:: source::mmap storage::block storage::local index::
