#!/usr/bin/env bash
# Describes a tree completely, in text, with the system's own tools: two trees are equal when their descriptions are.
# Independent of larder on purpose.
#
#   tests/describe.sh FOLDER
set -euo pipefail
export LC_ALL=C
cd "$1"
echo "# entries: path, type, mode, owner, group, size of files, time, link target, links"
find . -mindepth 1 \( -type f -printf '%P\t%y\t%m\t%U\t%G\t%s\t%T@\t%l\t%n\n' -o -type d -printf '%P\t%y\t%m\t%U\t%G\t-\t%T@\t%l\t-\n' \
  -o -printf '%P\t%y\t%m\t%U\t%G\t-\t%T@\t%l\t%n\n' \) | sort
echo "# contents"
find . -type f -print0 | sort -z | xargs -0r sha256sum
echo "# hard links"
find . -type f -links +1 -printf '%i\t%P\n' | sort | awk -F'\t' '{g[$1] = g[$1] " " $2} END {for (i in g) print g[i]}' | sort
echo "# devices"
find . \( -type b -o -type c \) -print0 | sort -z | xargs -0r stat -c '%n %t %T'
echo "# sparse files: holes are kept when a file takes less room than its length"
find . -type f -size +64k -printf '%P\t%s\t%b\n' | sort | awk -F'\t' '{print $1, ($3 * 512 < $2 ? "sparse" : "dense")}'
if command -v getfattr > /dev/null; then
  echo "# attributes"
  find . -mindepth 1 -print0 | sort -z | xargs -0r getfattr -h -d -m - -e hex -- 2> /dev/null
fi
if command -v getfacl > /dev/null; then
  echo "# access control lists"
  find . -mindepth 1 ! -type l -print0 | sort -z | xargs -0r getfacl -c -n -s -- 2> /dev/null || true
fi
