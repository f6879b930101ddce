#!/usr/bin/env bash
# usage: tests/sanitize.sh [KIND [FILTER]]
# Builds the tests with one of clang's or g++'s checkers and runs those that FILTER, a test's name or
# tag in Catch2's form such as '[exec]', names, or all. KIND:
#   address    addresses, leaks and undefined behaviour in one process (the default)
#   integer    as undefined, and clang's checks of conversions and of signed arithmetic
#   thread     data races between the ranks of the in-process backend
#   mpi        addresses and undefined behaviour under mpirun; leaks but for those of MPI itself
#   valgrind   memory and leaks of one MPI test, without a sanitizer
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kind=${1:-address}
filter=${2-}
packages=(cmake ninja-build catch2 libboost-dev libboost-mpi-dev openmpi-bin nlohmann-json3-dev
    librapidcheck-dev)
options=(-DLOCMOE_BUILD_BENCH=OFF -DLOCMOE_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo)
flags='-O1 -fno-omit-frame-pointer'
target=locmoe_tests
case $kind in
    address) flags+=' -fsanitize=address,undefined -fno-sanitize-recover=all' ;;
    integer)
        packages+=(clang)
        export CXX=clang++
        # Hashes and random numbers wrap on purpose: unsigned arithmetic is left out.
        flags+=' -fsanitize=undefined,implicit-conversion,integer-divide-by-zero,local-bounds'
        flags+=' -fno-sanitize-recover=all' ;;
    thread)
        flags+=' -fsanitize=thread'
        filter=${filter:-[exec]} ;;
    mpi)
        flags+=' -fsanitize=address,undefined -fno-sanitize-recover=all'
        target=tests/mpi/all ;;
    valgrind)
        packages+=(valgrind)
        target=locmoe_mpi_soak ;;
    *)
        sed -n '2,9s/^# //p' "$root/tests/sanitize.sh"
        [[ $kind == -h || $kind == --help ]] && exit 0
        exit 2 ;;
esac
. "$root/cmake/setup.sh"
install_packages "${packages[@]}"
build=$root/build/sanitize-$kind
build_project "$build" "$target" "${options[@]}" "-DCMAKE_CXX_FLAGS=$flags" \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-g

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
