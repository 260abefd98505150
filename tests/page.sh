#!/usr/bin/env bash
# Opens the report page in headless Chromium and fails when it logs an error, when a section, a plot or a table is not
# there after it was laid out, or when a table cannot be read: at several widths, and printed. On windows from 1000 px on no
# table scrolls.
#
#   tests/page.sh                     the golden page
#   tests/page.sh PAGE [PICTURE]      another one; PICTURE gets a screenshot (WIDTH=1200), DARK=1 one for readers who prefer dark
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
page=${1:-$root/tests/fixtures/reports/report.html}
picture=${2:-}
[ -r "$page" ] || { echo "there is no page $page"; exit 1; }
page=$(realpath "$page")

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
browse() { # PAGE WIDTH MORE…
  local page=$1 width=$2
  shift 2
  timeout 120 "$chromium" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update \
    --disable-background-networking --disable-sync --user-data-dir="$scratch/profile" --window-size="$width",3400 \
    --blink-settings=preferredColorScheme=$((1 - ${DARK:-0})) --enable-logging=stderr --log-level=0 "$@" "file://$page"
}
browse "$page" 1200 --dump-dom > "$scratch/dom" 2> "$scratch/log" || { cat "$scratch/log"; echo "the browser failed"; exit 1; }

bad=0
if grep -E 'CONSOLE[:(]|Refused to|Content Security Policy' "$scratch/log"; then
  echo "the page logs errors"; bad=1
fi
# A page may have none of a part, which grep calls a failure.
count() { { grep -o -- "$1" "$2" || true; } | wc -l; }
for part in '<section id=' '<figure>' '<svg ' '<table' '</section>' '</svg>'; do
  there=$(count "$part" "$page") shown=$(count "$part" "$scratch/dom")
  if [ "$there" != "$shown" ]; then echo "the page has $there of $part, the browser $shown"; bad=1; fi
done
if [ $# = 0 ]; then
  for part in 'id="section-0"' 'id="section-1"' 'id="section-2"' 'id="history"' 'id="warnings"' '<rect ' '<circle ' '<polyline '; do
    if ! grep -q -- "$part" "$scratch/dom"; then echo "the page lacks $part"; bad=1; fi
  done
fi

# What the copy that is measured gets, since the page itself runs nothing: a line for all that cannot be read.
cat > "$scratch/look.html" << 'LOOK'
<script>
addEventListener("load", () => {
  const said = [], print = document.documentElement.dataset.print;
  const say = (element, what) => said.push(`LAYOUT ${element.closest("section")?.querySelector("h2")?.textContent ?? "page"}: ${what}`);
  const lines = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    return new Set([...range.getClientRects()].map((rect) => Math.round(rect.top))).size;
  };
  for (const cell of document.querySelectorAll("th, td")) {
    const text = cell.textContent.trim(), room = cell.getBoundingClientRect();
    const words = text.split(/[\s\u2013-]+/).length;
    if (lines(cell) > words || lines(cell) > 6) say(cell, `"${text}" stands on ${lines(cell)} lines`);
    if (room.height > 120) say(cell, `a row is ${Math.round(room.height)} px tall`);
    if (cell.scrollWidth > cell.clientWidth + 1) say(cell, `"${text}" is wider than its cell`);
  }
  for (const box of document.querySelectorAll(".wide")) {
    const hidden = box.scrollWidth - box.clientWidth;
    if (hidden <= 1) continue;
    if (print) say(box, `${hidden} px are cut off in print`);
    else if (innerWidth >= 1000) say(box, `${hidden} px lie beyond the edge`);
    else if (!getComputedStyle(box).backgroundImage.includes("gradient")) say(box, `nothing shows that ${hidden} px lie beyond the edge`);
  }
  if (document.documentElement.scrollWidth > innerWidth) say(document.body, "the page is wider than the window");
  const box = document.createElement("pre");
  box.textContent = `LOOKED\n${[...new Set(said)].join("\n")}\n`;
  document.body.prepend(box);
});
</script>
LOOK
look() { # WIDTH WHERE
  browse "$scratch/copy.html" "$1" --virtual-time-budget=2000 --dump-dom > "$scratch/looked" 2> "$scratch/log" || true
  if ! grep -q '>LOOKED$' "$scratch/looked"; then echo "the layout could not be looked at ($2)"; bad=1; fi
  if grep '^LAYOUT' "$scratch/looked" > "$scratch/said"; then
    sed "s/^LAYOUT/$2:/" "$scratch/said"; bad=1
  fi
}
sed -e 's/<meta http-equiv="Content-Security-Policy"[^>]*>//' -e "/<\/head>/r $scratch/look.html" "$page" > "$scratch/copy.html"
for width in 700 1000 1130 1400; do look "$width" "$width px"; done
# A4, landscape, without its margins; what is said of print holds for the screen of this copy.
sed -i -e 's/@media print/@media all/' -e 's/<html/<html data-print="1"/' "$scratch/copy.html"
look 1032 "in print"

if [ -n "$picture" ]; then
  browse "$page" "${WIDTH:-1200}" --hide-scrollbars --screenshot="$(realpath -m "$picture")" > /dev/null 2>&1
fi
[ "$bad" = 0 ] && echo "the page is whole: $(count '<section id=' "$scratch/dom") sections, $(count '<svg ' "$scratch/dom") plots"
exit "$bad"
