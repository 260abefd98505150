#!/usr/bin/env bash
# Opens the report page in headless Chromium and fails when it logs an error, or when a section, a plot or a table is not
# there after it was laid out.
#
#   tests/page.sh                     the golden page
#   tests/page.sh PAGE [PICTURE]      another one; PICTURE gets a screenshot, DARK=1 one for readers who prefer dark
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=$(realpath "${1:-$root/tests/fixtures/reports/report.html}")
picture=${2:-}

chromium=
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" > /dev/null; then chromium=$name; break; fi
done
if [ -z "$chromium" ]; then
  echo "no Chromium here: the page was not looked at (apt-get install chromium)"
  exit 0
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
browse() {
  timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update \
    --disable-background-networking --disable-sync --user-data-dir="$scratch/profile" --window-size=1200,3400 \
    --blink-settings=preferredColorScheme=$((1 - ${DARK:-0})) --enable-logging=stderr --log-level=0 "$@" "file://$page"
}
browse --dump-dom > "$scratch/dom" 2> "$scratch/log" || { cat "$scratch/log"; echo "the browser failed"; exit 1; }

bad=0
if grep -E 'CONSOLE[:(]|Refused to|Content Security Policy' "$scratch/log"; then
  echo "the page logs errors"; bad=1
fi
count() { grep -o -- "$1" "$2" | wc -l; }
for part in '<section id=' '<figure>' '<svg ' '<table>' '</section>' '</svg>'; do
  there=$(count "$part" "$page") shown=$(count "$part" "$scratch/dom")
  if [ "$there" != "$shown" ]; then echo "the page has $there of $part, the browser $shown"; bad=1; fi
done
if [ $# = 0 ]; then
  for part in 'id="section-0"' 'id="section-1"' 'id="section-2"' 'id="history"' 'id="warnings"' '<rect ' '<circle ' '<polyline '; do
    if ! grep -q -- "$part" "$scratch/dom"; then echo "the page lacks $part"; bad=1; fi
  done
fi
if [ -n "$picture" ]; then
  browse --hide-scrollbars --screenshot="$(realpath -m "$picture")" > /dev/null 2>&1
fi
[ "$bad" = 0 ] && echo "the page is whole: $(count '<section id=' "$scratch/dom") sections, $(count '<svg ' "$scratch/dom") plots"
exit "$bad"
