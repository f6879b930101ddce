#!/usr/bin/env bash
# usage: bench/cluster/paper.sh [--json FILE] [--svg FILE] [--steps N] [--clusters 64,128,256]
# Installs what is missing (Debian 12), builds the example trainer and smpi_step, and runs paper.py. What
# was trained and recorded stays in build/bench/paper and is not trained again.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
. "$root/cmake/setup.sh"
install_packages g++ cmake ninja-build libboost-dev libopenblas-dev nlohmann-json3-dev libxtensor-dev \
    libcli11-dev libsimgrid-dev python3
build=$root/build/bench
build_project "$build" locmoe_train -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_EXAMPLES=ON \
    -DLOCMOE_BUILD_BENCH=ON
work=$build/paper
mkdir -p "$work"
step=$work/smpi_step
if [ ! -x "$step" ] || [ -n "$(find "$root/include" "$here" -newer "$step" -name '*.[hc]pp' -print -quit)" ]; then
    smpicxx -std=c++20 -O2 -I "$root/include" "$here/smpi_step.cpp" -Wl,-Bsymbolic -o "$step"
fi
fast_blas
exec python3 "$here/paper.py" --trainer "$build/examples/trainer/locmoe_train" --smpi-step "$step" \
    --data "$root/examples/data" --work "$work" "$@"
