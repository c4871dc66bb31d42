#!/bin/sh
# Fails when a room includes a room, or a library, that tests/layers.txt does not grant it.
cd "$(dirname "$0")/.." || exit 2
find include worker -name '*.[ch]' | sort | xargs awk '
FILENAME == "tests/layers.txt" {
    if (/^#/ || NF < 3) next
    known[$1] = 1
    for (i = split($2, a, ","); i > 0; i--) may[$1, a[i]] = 1
    for (i = split($3, a, ","); i > 0; i--) if (a[i] != "-") owner[a[i]] = $1
    next
}
FNR == 1 { split(FILENAME, p, "/"); room = p[2] }
room == "main.c" { next }
!(room in known) { print FILENAME ": room missing in tests/layers.txt"; bad = 1; nextfile }
/^#include "\.\./ { print FILENAME ":" FNR ": no ../ in includes"; bad = 1 }
/^#include [<"]/ {
    line = $2; gsub(/[<">]/, "", line)
    for (l in owner)
        if (index(line, l) == 1 && owner[l] != room) {
            print FILENAME ":" FNR ": " line " belongs to " owner[l]; bad = 1
        }
    n = split(line, a, "/")
    if (n > 1 && (a[1] in known) && a[1] != room && !((room, a[1]) in may)) {
        print FILENAME ":" FNR ": " room " may not include " a[1]; bad = 1
    }
}
END { exit bad }' tests/layers.txt
