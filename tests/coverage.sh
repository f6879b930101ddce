#!/usr/bin/env bash
# usage: tests/coverage.sh
# Builds the tests with gcov's counters, runs all of them, MPI's included, and reports which lines and
# branches of include/ they reach: all in build/coverage/report.html, the sums and what is left on
# standard output. Fails below 95 % of lines or 85 % of branches. Branches that only an exception out of
# the standard library takes do not count.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -gt 0 ]; then
    sed -n '2,6s/^# //p' "$root/tests/coverage.sh"
    [[ $1 == -h || $1 == --help ]] && exit 0
    exit 2
fi
. "$root/cmake/setup.sh"
install_packages cmake ninja-build g++ gcovr catch2 libboost-dev libboost-mpi-dev openmpi-bin \
    libxtensor-dev libeigen3-dev libdlpack-dev libopenblas-dev libcli11-dev nlohmann-json3-dev \
    librapidcheck-dev

build=$root/build/coverage
build_project "$build" all -DLOCMOE_BUILD_BENCH=OFF -DCMAKE_BUILD_TYPE=Debug \
    "-DCMAKE_CXX_FLAGS=--coverage -O0 -fprofile-update=atomic"
find "$build" -name '*.gcda' -delete
(cd "$build" && ctest --output-on-failure --no-tests=error -j 2)
cd "$root"
gcovr --root "$root" --filter include/ --object-directory "$build" --exclude-throw-branches \
    --exclude-unreachable-branches --exclude-lines-by-pattern '.*LOCMOE_ASSERT.*' \
    --print-summary --sort-uncovered --html-details "$build/report.html" \
    --fail-under-line 95 --fail-under-branch 85
