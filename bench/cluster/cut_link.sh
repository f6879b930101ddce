#!/usr/bin/env bash
# usage: bench/cluster/cut_link.sh
# Trains on a virtual cluster of 4 nodes of 2 ranks, takes one node's cable out, and says after how
# many seconds the job has ended, and how. Fails where that takes more than 20 s, or where it ends
# as if nothing were wrong. As root.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ "$(id -u)" -ne 0 ]; then
    echo "cut_link.sh: needs root, for network namespaces and tc" >&2
    exit 3
fi
. "$root/cmake/setup.sh"
install_packages g++ cmake ninja-build libboost-dev libboost-mpi-dev openmpi-bin libopenblas-dev \
    nlohmann-json3-dev libxtensor-dev libcli11-dev iproute2
build_project "$root/build/bench" locmoe_train -DLOCMOE_BUILD_TESTS=OFF -DLOCMOE_BUILD_EXAMPLES=ON \
    -DLOCMOE_BUILD_BENCH=ON
fast_blas

eval "$("$here/vcluster.sh" up 4 200mbit)"
said=$(mktemp)
trap '"$here/vcluster.sh" down; rm -f "$said"' EXIT
trap 'exit 143' INT TERM HUP
"$here/vcluster.sh" run 2 "$root/build/bench/examples/trainer/locmoe_train" --backend mpi --nodes 4 \
    --ranks-per-node 2 --router switch --steps 1000000 >"$said" 2>&1 &
job=$!
for _ in $(seq 300); do  # until the first steps are done
    grep -q 'step ' "$said" && break
    sleep 0.1
done
grep -q 'step ' "$said" || { cat "$said" >&2; exit 1; }
start=$SECONDS
"$here/vcluster.sh" cut 2
while kill -0 "$job" 2>/dev/null && [ $((SECONDS - start)) -lt 60 ]; do sleep 0.2; done
if kill -0 "$job" 2>/dev/null; then
    echo "node 2 cut off: the job still hangs after 60 s" >&2
    exit 1
fi
code=0
wait "$job" || code=$?
took=$((SECONDS - start))
echo "node 2 cut off: the job ended after $took s with code $code:"
tail -n 5 "$said"
[ "$code" -ne 0 ] && [ "$took" -le 20 ]
