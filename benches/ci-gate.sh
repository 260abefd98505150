#!/usr/bin/env bash
# The gate as CI runs it, from a checkout: builds larder, counts and times, and fails as `larder bench gate` does.
#
#   benches/ci-gate.sh                     tiers a and b, and the kernels of tier c
#   BASE=/path/to/larder benches/ci-gate.sh     also whole runs against another build
#   BASE_COMMIT=origin/main benches/ci-gate.sh  the same, with that commit's build made here
#
# Exit codes: 0 within, 4 slower, 5 a counter changed, 1 not measured.
# Needs a Rust toolchain; valgrind and strace are installed as root on Debian when they are missing.
set -euo pipefail
# Named from where the script was started.
if [ -n "${BASE:-}" ]; then BASE=$(realpath "$BASE"); fi
baseline=${BASELINE:+$(realpath "$BASELINE")}
cd "$(dirname "$0")/.."
baseline=${baseline:-benches/baseline.toml}
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR=$target CRITERION_HOME=$target/criterion

missing=()
for tool in valgrind strace; do command -v "$tool" > /dev/null || missing+=("$tool"); done
if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi

cargo build --release --quiet --bin larder
# Kept apart, with its time: beside a bench cargo builds another larder in its place, as the bench's dependencies want other
# features, and the base is built without them.
larder=$target/larder-of-the-gate
cp -p "$target/release/larder" "$larder"

options=(--baseline "$baseline" --tiers a,b,c --criterion "$CRITERION_HOME" --elsewhere "${ELSEWHERE:-skip}")
if [ -n "${BASE_COMMIT:-}" ]; then
  base=$(mktemp -d)
  trap 'git worktree remove --force "$base/checkout"; rm -rf "$base"' EXIT
  git worktree add --quiet --detach "$base/checkout" "$BASE_COMMIT"
  # In its own folder, so that a checkout's settings for cargo hold there too.
  (cd "$base/checkout" && CARGO_TARGET_DIR=$target/base cargo build --release --quiet --bin larder)
  BASE=$target/base/release/larder
fi
if [ -n "${BASE:-}" ]; then options+=(--base "$BASE" --rounds "${ROUNDS:-15}"); fi
judge() {
  # Called where `set -e` does not hold: results of an earlier run must not be judged in the place of none.
  cargo bench --quiet --bench gate -- --noplot > /dev/null || return 1
  "$larder" bench gate "${options[@]}" "$@"
}
code=0
judge "$@" || code=$?
if [ "$code" = 4 ]; then
  # A machine that others share can be slow for minutes; what is slower because of its code is so again.
  echo "slower: measured once more before that fails" >&2
  code=0
  judge "$@" || code=$?
fi
exit "$code"
