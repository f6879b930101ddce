#!/usr/bin/env bash
# usage: bench/cluster/smpi.sh NODES TOKENS CHOICES EXPERTS ROW_BYTES SKEW
# Runs one exchange of NODES nodes of 8 ranks under SimGrid's SMPI, and beside it `simulate`. SMPI's
# calibration for Ethernet is taken out (factors of 1): a message takes its latency, and its bytes
# over the bandwidth.
set -eu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
if [ $# -ne 6 ]; then
    sed -n 2p "${BASH_SOURCE[0]}" >&2
    exit 2
fi
nodes=$1
shift
. "$root/cmake/setup.sh"
install_packages g++ libsimgrid-dev python3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
smpicxx -std=c++20 -O2 -I "$root/include" "$here/smpi_exchange.cpp" -Wl,-Bsymbolic -o "$work/smpi_exchange"
python3 "$here/smpi_platform.py" --nodes "$nodes" -o "$work/cluster"
cd "$work"  # smpirun leaves files where it stands
smpirun -no-privatize -np $((8 * nodes)) -platform "$work/cluster.xml" \
    -hostfile "$work/cluster.hosts" --cfg=smpi/simulate-computation:no \
    --cfg=smpi/bw-factor:0:1 --cfg=smpi/lat-factor:0:1 --cfg=network/TCP-gamma:0 \
    --cfg=network/weight-S:0 --cfg=network/crosstraffic:no --log=root.thres:error \
    --cfg=smpi/iprobe:2e-7 --cfg=smpi/test:2e-7 --cfg=smpi/grow-injected-times:no \
    --cfg=smpi/shared-malloc-blocksize:1073741824 \
    "$work/smpi_exchange" "$@"
