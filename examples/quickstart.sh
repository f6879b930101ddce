#!/usr/bin/env bash
# usage: examples/quickstart.sh [--short] [--json FILE] [TRAINER OPTION...]
# Installs what is missing (Debian 12), builds the example trainer, and trains on the texts in
# examples/data. --short ends within three minutes on two cores, the full run within ten; all options
# go to the trainer, --help lists them.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/cmake/setup.sh"
install_packages g++ cmake ninja-build libboost-dev libboost-mpi-dev openmpi-bin libxtensor-dev \
    libopenblas-dev libcli11-dev nlohmann-json3-dev
build=$root/build/quickstart
build_project "$build" locmoe_train -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_BENCH=OFF

fast_blas
exec "$build/examples/trainer/locmoe_train" "$@"
