#!/usr/bin/env bash
# usage: tests/sanitize.sh [KIND [FILTER]]
# Builds the tests with clang's checkers, unoptimised, and runs those that FILTER, a test's name or tag in
# Catch2's form such as '[exec]', names, or all. KIND:
#   address    addresses, leaks, undefined behaviour, conversions of integers that lose something, in one
#              process (the default)
#   thread     data races between the ranks of the in-process backend
#   mpi        as address, under mpirun; leaks but for those of MPI itself
#   valgrind   memory and leaks of one MPI test, without a sanitizer
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kind=${1:-address}
filter=${2-}
packages=(cmake ninja-build clang catch2 libboost-dev libboost-mpi-dev openmpi-bin nlohmann-json3-dev
    librapidcheck-dev)
options=(-DLOCMOE_BUILD_BENCH=OFF -DLOCMOE_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo)
# clang does in half of g++'s time, and without optimisation in a quarter of that. Hashes and random
# numbers wrap on purpose: unsigned arithmetic is left out.
flags='-O0 -fno-omit-frame-pointer'
checks='-fsanitize=address,undefined,implicit-conversion,integer-divide-by-zero,local-bounds'
checks+=" -fno-sanitize-recover=all -fsanitize-ignorelist=$root/tests/sanitize.ignore"
target=locmoe_tests
[ "$kind" = valgrind ] || export CXX=clang++
case $kind in
    address) flags+=" $checks" ;;
    thread)
        flags+=' -fsanitize=thread'
        filter=${filter:-[exec]} ;;
    mpi)
        flags+=" $checks"
        target=tests/mpi/all ;;
    valgrind)
        packages+=(valgrind)
        flags=-O1
        target=locmoe_mpi_soak ;;
    *)
        sed -n '2,10s/^# //p' "$root/tests/sanitize.sh"
        [[ $kind == -h || $kind == --help ]] && exit 0
        exit 2 ;;
esac
. "$root/cmake/setup.sh"
install_packages "${packages[@]}"
build=$root/build/sanitize-$kind
build_project "$build" "$target" "${options[@]}" "-DCMAKE_CXX_FLAGS=$flags" \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-g1

export UBSAN_OPTIONS=print_stacktrace=1
run_mpi() {
    timeout -k 5 900 mpirun --allow-run-as-root --oversubscribe -n 3 "$@"
}
case $kind in
    mpi)
        # Open MPI and what it loads keep memory until the process ends.
        export LSAN_OPTIONS=suppressions=$root/tests/mpi/leaks.supp:print_suppressions=0
        export ASAN_OPTIONS=fast_unwind_on_malloc=0
        for program in "$build"/tests/mpi/locmoe_mpi_*; do
            [ -x "$program" ] && [ -f "$program" ] || continue
            [[ $program != */locmoe_mpi_lost_rank ]] || continue  # ends by MPI_Abort, as it is meant to
            run_mpi "$program" ${filter:+"$filter"}
        done ;;
    valgrind)
        run_mpi valgrind --quiet --error-exitcode=9 --leak-check=full --num-callers=40 \
            --errors-for-leak-kinds=definite \
            --suppressions=/usr/share/openmpi/openmpi-valgrind.supp \
            --suppressions="$root/tests/mpi/valgrind.supp" \
            "$build/tests/mpi/locmoe_mpi_soak" ${filter:+"$filter"} ;;
    *)
        "$build/tests/locmoe_tests" ${filter:+"$filter"} ;;
esac
