#!/usr/bin/env bash
# A virtual cluster has the nodes that it should, passes on how its job ended, and leaves nothing
# behind, be it interrupted or not. Exit code 3 where this machine allows no such cluster.
set -u

script=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)/bench/cluster/vcluster.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

# check WHAT EXPECTED GOT
check() {
    [ "$2" = "$3" ] && return
    echo "$1: expected '$2', got '$3'"
    failed=1
}
left() {
    ip netns list | grep "^lmv$1-"
    ls -d "/run/lmv$1" 2>/dev/null
}

# start ARGUMENT...: `vcluster.sh with 2 200mbit ...` as process $cluster
start() {
    bash "$script" with 2 200mbit "$@" >"$work/said" 2>"$work/errors" &
    cluster=$!
}

start 2 hostname
wait "$cluster"
code=$?
[ "$code" -ne 3 ] || { cat "$work/errors"; exit 3; }
check "code of a job that went well" 0 "$code"
check "host names" "node0 node0 node1 node1" "$(sort "$work/said" | xargs)"
check "left behind" "" "$(left "$cluster")"

start 1 sh -c 'exit 7'
wait "$cluster"
check "code of a job that failed" 7 $?
check "left behind by one that failed" "" "$(left "$cluster")"

start 1 sh -c 'echo here; sleep 60'
for _ in $(seq 300); do
    grep -q here "$work/said" && break
    sleep 0.1
done
kill -TERM "$cluster"
wait "$cluster"
check "code of a job that was ended" 143 $?
check "left behind by one that was ended" "" "$(left "$cluster")"
exit $failed
