#!/usr/bin/env bash
# Whole processes against each other on one data set, in interleaved rounds of rotated order, warm cache.
#
#   benches/compare.sh DATA OUT.csv [ROUNDS] [TOOLS]
#
# TOOLS: any of larder limit bupstash borg restic rustic cp (default: larder limit). Peers that are not on the PATH are
# named and left out. Restores go to a tmpfs folder and, for larder, are compared with the source.
# Columns: data,round,tool,step,wall_s,cpu_s,peak_kib,stored_bytes
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
data=$(realpath "$1"); out=$2; rounds=${3:-5}; tools=${4:-"larder limit"}
second=${SECOND:-}                   # another version of the data, backed up over the first at the same path
work=${WORK:-$(mktemp -d)}; shm=$(mktemp -d /dev/shm/larder-compare.XXXX)
trap 'rm -rf "$work/store" "$shm"' EXIT
label=${LABEL:-$(basename "$data")}
threads=${LIMIT_OPTIONS:-}
limit_data=${LIMIT_DATA:-$data}      # the prototype cuts one file on one thread: give it the image in two pieces

# LARDER and LIMIT name binaries that are built already. The prototype is built outside the checkout's own settings.
target=${CARGO_TARGET_DIR:-$here/target}
if [ -z "${LARDER:-}" ]; then (cd "$here" && cargo build --release --quiet); fi
if [ -z "${LIMIT:-}" ]; then (cd / && cargo build --release --quiet --manifest-path "$here/benches/limit/Cargo.toml" --target-dir "$target/limit"); fi
larder=${LARDER:-$target/release/larder}
limit=${LIMIT:-$target/limit/release/limit}

[ -s "$out" ] || echo "data,round,tool,step,wall_s,cpu_s,peak_kib,stored_bytes" > "$out"
export HOME=$work/home LARDER_CONFIG_DIR=$work/config LARDER_CACHE_DIR=$work/cache
mkdir -p "$HOME" "$LARDER_CONFIG_DIR" "$LARDER_CACHE_DIR"
[ -f "$work/key" ] || (umask 077 && head -c 32 /dev/urandom > "$work/key")
export LARDER_KEY_FILE=$work/key RESTIC_PASSWORD=x RUSTIC_PASSWORD=x BORG_PASSPHRASE=x BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
export BORG_BASE_DIR=$work/borg RESTIC_CACHE_DIR=$work/restic-cache RUSTIC_CACHE_DIR=$work/rustic-cache

run() { # round tool step command…
  local round=$1 tool=$2 step=$3; shift 3
  /usr/bin/time -f "%e %U %S %M" -o "$work/time" "$@" > "$work/log" 2>&1 || { echo "$tool $step failed:"; tail -5 "$work/log"; return 1; }
  local wall user sys peak; read -r wall user sys peak < <(tail -1 "$work/time")
  local stored; stored=$( (du -sb "$work/store" 2>/dev/null || true) | cut -f1)
  echo "$label,$round,$tool,$step,$wall,$(echo "$user + $sys" | bc),$peak,${stored:-0}" | tee -a "$out"
}

one() { # round tool
  local round=$1 tool=$2 s=$work/store d=$shm/restored
  rm -rf "$s" "$d" "$work/cache" "$work"/*-cache "$work/borg"; mkdir -p "$LARDER_CACHE_DIR"; sync
  case $tool in
    larder)
      "$larder" -s "$s" -q init
      run $round larder first "$larder" -s "$s" -q backup "$data"
      run $round larder unchanged "$larder" -s "$s" -q backup "$data"
      run $round larder reread "$larder" -s "$s" -q backup --force "$data"   # as if all times had changed
      if [ -n "$second" ]; then run $round larder second "$larder" -s "$s" -q backup --as "$data" "$second"; fi
      if [ -z "$second" ]; then
        run $round larder restore "$larder" -s "$s" -q restore "latest:$data" --to "$d"
        diff -r --no-dereference "$data" "$d" > "$work/diff" || { echo "restore differs:"; head -3 "$work/diff"; exit 1; }
      fi
      rm -rf "$s" "$work/cache"; mkdir -p "$LARDER_CACHE_DIR"
      if [ "${ZSTD:-}" ]; then
        "$larder" -s "$s" -q init
        run $round larder zstd "$larder" -s "$s" -q backup --compression zstd "$data"
      fi ;;
    limit)
      mkdir -p "$s"; run $round limit first "$limit" "$limit_data" "$s" $threads
      rm -rf "$s"; mkdir -p "$s"; "$limit" "$limit_data" "$s" -r 1 > /dev/null
      run $round limit restore "$limit-restore" "$s" "$d"
      run $round find unchanged find "$data" -size +1M ;;
    bupstash)
      bupstash new-key -o "$work/bupstash.key" 2>/dev/null || true
      export BUPSTASH_KEY=$work/bupstash.key BUPSTASH_REPOSITORY=$s BUPSTASH_SEND_LOG=$work/bupstash.sendlog BUPSTASH_QUERY_CACHE=$work/bupstash.query
      rm -f "$work"/bupstash.sendlog* "$work"/bupstash.query*; bupstash init -r "$s"
      run $round bupstash first bupstash put -q name=a "$data"
      run $round bupstash unchanged bupstash put -q name=b "$data"
      if [ -n "$second" ]; then run $round bupstash second bupstash put -q name=c "$second"; fi
      mkdir -p "$d"; run $round bupstash restore bupstash restore -q --into "$d" name=a ;;
    borg)
      borg init -e repokey-blake2 "$s"
      run $round borg first borg create "$s::a" "$data"
      run $round borg unchanged borg create "$s::b" "$data"
      mkdir -p "$d"; (cd "$d" && run $round borg restore borg extract "$s::a") ;;
    restic)
      restic -r "$s" init > /dev/null
      run $round restic first restic -r "$s" backup "$data"
      run $round restic unchanged restic -r "$s" backup "$data"
      run $round restic restore restic -r "$s" restore latest --target "$d" ;;
    rustic)
      rustic -r "$s" init > /dev/null 2>&1
      run $round rustic first rustic -r "$s" --no-progress backup "$data"
      run $round rustic unchanged rustic -r "$s" --no-progress backup "$data"
      run $round rustic restore rustic -r "$s" --no-progress restore "latest:$data" "$d" ;;
    cp) run $round cp restore cp -a "$data" "$d" ;;
  esac
  rm -rf "$s" "$d"
}

have=()
for tool in $tools; do
  case $tool in
    larder|limit|cp) have+=("$tool") ;;
    *) if command -v "$tool" > /dev/null; then have+=("$tool"); else echo "not on the PATH, left out: $tool" >&2; fi ;;
  esac
done
for ((round = 0; round < rounds; round++)); do
  for ((i = 0; i < ${#have[@]}; i++)); do one $round "${have[$(((i + round) % ${#have[@]}))]}"; done
done

echo; echo "medians ($label):"
tail -n +2 "$out" | grep "^$label," | cut -d, -f3,4 | sort -u | while IFS=, read -r tool step; do
  middle() { grep "^$label,[0-9]*,$tool,$step," "$out" | cut -d, -f"$1" | sort -n | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }
  printf '%-10s %-10s %8s s  %8s cpu s  %8s KiB  %12s B stored\n' "$tool" "$step" "$(middle 5)" "$(middle 6)" "$(middle 7)" "$(middle 8)"
done
