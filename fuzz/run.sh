#!/usr/bin/env bash
# Builds every fuzz target once and runs each for a moment, beginning with the seeds in fuzz/corpus.
#
#   fuzz/run.sh 5                    every target for 5 seconds
#   fuzz/run.sh 600 format_tree      some targets
#   FUZZ_SANITIZER=address fuzz/run.sh 5     with a nightly toolchain: slower, watches memory, too
#
# What a run finds new is kept in fuzz/target/corpus for the next one; an input that fails lies in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
sanitizer=${FUZZ_SANITIZER:-none}
toolchain=()
if [ "$sanitizer" != none ]; then toolchain=(+nightly); fi
target_dir=${FUZZ_TARGET_DIR:-$PWD/target}

if ! cargo fuzz --version > /dev/null 2>&1; then
  cargo install --quiet cargo-fuzz --locked
fi
mapfile -t all < <(sed -n 's/^name = "\(.*_.*\)"/\1/p' Cargo.toml)
targets=("${@:-${all[@]}}")

# One build for all. Without a sanitizer no nightly toolchain is needed: only its flag is unstable.
(cd .. && cargo "${toolchain[@]}" fuzz build --sanitizer "$sanitizer" --target-dir "$target_dir")

host=$(rustc -vV | sed -n 's/^host: //p')
failed=()
for target in "${targets[@]}"; do
  mkdir -p "$target_dir/corpus/$target" "artifacts/$target"
  log=$target_dir/$target.log
  # New inputs go into the first folder, the committed seeds are only read.
  if "$target_dir/$host/release/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="artifacts/$target/" "$target_dir/corpus/$target" "corpus/$target" > "$log" 2>&1; then
    printf '%-26s ok  %s runs\n' "$target" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
  else
    printf '%-26s FAILED\n' "$target"
    tail -n 25 "$log"
    failed+=("$target")
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "fuzz targets that found something: ${failed[*]} (inputs in fuzz/artifacts)" >&2
  exit 1
fi
