#!/usr/bin/env bash
# usage: bench/run.sh SUITE [--json FILE]
# Installs what is missing (Debian 12), builds one suite and runs it, `alltoallv` on RANKS ranks (8),
# `kernels` on 2 (the second one sleeps but for one group of rows), `vcluster` on a cluster of network
# namespaces, as root.
# Without SUITE, lists the suites.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
suites=$(cd "$root/bench" && ls ./*.cpp 2>/dev/null | sed 's,^\./,,; s,\.cpp$,,')
suites=$(printf '%s\n' $suites kernels paper | sort)
if [ $# -eq 0 ]; then
    echo "$suites"
    exit 0
fi
suite=$1
shift
if ! grep -qxF -- "$suite" <<<"$suites"; then
    echo "bench/run.sh: no suite '$suite'; there are:" $suites >&2
    exit 2
fi
if [ "$suite" = vcluster ] && [ "$(id -u)" -ne 0 ]; then
    echo "bench/run.sh: vcluster needs root, for network namespaces and tc" >&2
    exit 3
fi
if [ "$suite" = paper ]; then
    exec bash "$root/bench/cluster/paper.sh" "$@"
fi
. "$root/cmake/setup.sh"
install_packages g++ cmake ninja-build libboost-dev libboost-mpi-dev openmpi-bin libopenblas-dev \
    nlohmann-json3-dev libxtensor-dev libcli11-dev libbenchmark-dev
if [ "$suite" = kernels ]; then
    install_packages libeigen3-dev libxtensor-blas-dev libxsimd-dev
fi
build=$root/build/bench
build_project "$build" "locmoe_bench_$suite" -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_EXAMPLES=ON \
    -DLOCMOE_BUILD_BENCH=ON
fast_blas
program=$build/bench/locmoe_bench_$suite
if [ "$suite" = alltoallv ]; then  # needs ranks: 8, or as many as RANKS says
    launch=(mpirun --allow-run-as-root --oversubscribe -np "${RANKS:-8}")
    exec timeout -k 5 600 "${launch[@]}" "$program" "$@"
fi
if [ "$suite" = kernels ]; then
    exec timeout -k 5 1200 mpirun --allow-run-as-root --oversubscribe --bind-to none -np 2 \
        "$program" "$@"
fi
if [ "$suite" = vcluster ]; then
    install_packages iproute2
    exec timeout -k 15 1200 bash "$root/bench/cluster/vcluster.sh" with 4 200mbit 4 "$program" "$@"
fi
exec "$program" "$@"
