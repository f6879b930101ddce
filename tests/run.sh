#!/usr/bin/env bash
# usage: tests/run.sh [FILTER]
# Installs what is missing (Debian 12), builds the tests, runs those whose names match the regular
# expression FILTER, or all. CXX chooses another compiler than g++, with a build folder of its own.
# LOCMOE_COVERAGE=1 builds them with gcov's counters in build/coverage, for tests/coverage.sh.
# Used where it is installed, but too large to install here: LibTorch, Chromium to open pages in, nvcc.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -gt 1 ] || [[ ${1-} == -* ]]; then
    sed -n '2,6s/^# //p' "$root/tests/run.sh"
    [[ ${1-} == -h || ${1-} == --help ]] && exit 0
    exit 2
fi
. "$root/cmake/setup.sh"

packages=(cmake ninja-build catch2 doxygen libboost-dev libboost-mpi-dev openmpi-bin libmpich-dev
    mpich libxtensor-dev libeigen3-dev libdlpack-dev libopenblas-dev libcli11-dev
    nlohmann-json3-dev pkg-config librapidcheck-dev)
build=$root/build/tests
coverage=OFF
if [ -n "${LOCMOE_COVERAGE-}" ]; then
    build=$root/build/coverage
    coverage=ON
fi
if [ -z "${CXX-}" ]; then
    packages+=(g++)
else
    build+=-$(basename "${CXX%% *}")
fi
install_packages "${packages[@]}"
build_project "$build" all -DLOCMOE_BUILD_BENCH=OFF -DLOCMOE_COVERAGE=$coverage
find "$build" -name '*.gcda' -delete  # counts of an earlier run
cd "$build"
exec ctest --output-on-failure --no-tests=error -j 2 ${1:+-R "$1"}
