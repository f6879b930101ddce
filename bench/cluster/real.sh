#!/usr/bin/env bash
# usage: bench/cluster/real.sh NODES RANKS_PER_NODE [OUT_FOLDER]
# On a real cluster: builds the benchmark `alltoallv` and the example trainer with the MPI that is there
# (no packages are installed), then runs both on NODES x RANKS_PER_NODE ranks: by srun inside a Slurm
# allocation, by mpirun otherwise. LAUNCH, if set, is the whole launcher's command line instead, for
# example LAUNCH="mpirun -np 64 --hostfile hosts --map-by ppr:8:node". See README.md beside this file.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    sed -n 2p "${BASH_SOURCE[0]}" >&2
    exit 2
fi
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
nodes=$1 per_node=$2 out=${3:-$root/out/cluster}
ranks=$((nodes * per_node))
. "$root/cmake/setup.sh"
build=$root/build/cluster
for target in locmoe_bench_alltoallv locmoe_train; do
    build_project "$build" "$target" -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_EXAMPLES=ON \
        -DLOCMOE_BUILD_BENCH=ON
done
fast_blas
mkdir -p "$out"
if [ -n "${LAUNCH-}" ]; then
    read -ra launch <<<"$LAUNCH"
elif [ -n "${SLURM_JOB_ID-}" ]; then
    launch=(srun --nodes "$nodes" --ntasks "$ranks" --ntasks-per-node "$per_node" --distribution block --cpu-bind=cores)
else
    launch=(mpirun -np "$ranks" --map-by "ppr:$per_node:node" --bind-to core)
fi
echo "== ${launch[*]}"
"${launch[@]}" "$build/bench/locmoe_bench_alltoallv" --json "$out/alltoallv.json" |
    tee "$out/alltoallv.txt"
for strategy in direct node_aggregated; do
    "${launch[@]}" "$build/examples/trainer/locmoe_train" --backend mpi --nodes "$nodes" \
        --ranks-per-node "$per_node" --strategy "$strategy" --short \
        --json "$out/train-$strategy.json" | tee "$out/train-$strategy.txt"
done
echo "== results are in $out"
