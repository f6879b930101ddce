#!/usr/bin/env bash
# usage: tests/coverage.sh
# Runs all tests by tests/run.sh, built with gcov's counters, then tells by tests/coverage.py which lines and
# branches of include/ they reach. Fails below 95 % of lines or 85 % of branches.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -gt 0 ]; then
    sed -n '2,4s/^# //p' "$root/tests/coverage.sh"
    [[ $1 == -h || $1 == --help ]] && exit 0
    exit 2
fi
. "$root/cmake/setup.sh"
install_packages python3
LOCMOE_COVERAGE=1 bash "$root/tests/run.sh"
python3 "$root/tests/coverage.py" "$root/build/coverage/tests"
