#!/usr/bin/env bash
# A cluster of network namespaces on one machine. As root:
#
#   eval "$(bench/cluster/vcluster.sh up NODES [RATE])"        RATE as tc has it; default 200mbit
#   bench/cluster/vcluster.sh run RANKS PROGRAM [ARGUMENT...]  RANKS on each node, by Open MPI
#   bench/cluster/vcluster.sh cut|heal NODE                    takes a node's cable out, puts it back
#   bench/cluster/vcluster.sh down
#   bench/cluster/vcluster.sh with NODES RATE RANKS PROGRAM [ARGUMENT...]   up, run and down
#
# A node is a namespace with a host name, a /dev/shm and a temporary folder of its own: MPI has shared
# memory inside it and TCP to the others, through one switch. What a node sends is held to RATE, and so
# is what it gets. `up` prints VCLUSTER=NAME for the other commands; names are unique, so that clusters
# do not meet. `run` ends its job where it is interrupted, `with` takes the cluster down as well. A rank
# that waits sleeps for 20 us at a time instead of yielding: here ranks outnumber processors, on a
# cluster they do not.
# Exit codes: the program's; 2 for a wrong command line, 3 where this machine cannot do it.
set -euo pipefail

fail() {
    local code=$1
    shift
    echo "vcluster.sh: $*" >&2
    exit "$code"
}
usage() {
    sed -n '4,8s/^# *//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

need_machine() {
    [ "$(id -u)" = 0 ] || fail 3 "needs root, for network namespaces and tc"
    local program
    for program in ip tc unshare mpirun cc; do
        command -v "$program" >/dev/null ||
            fail 3 "no $program (Debian: iproute2, util-linux, openmpi-bin, gcc)"
    done
    [[ $(mpirun --version 2>&1) == *"Open MPI"* ]] || fail 3 "mpirun is not Open MPI's"
    unshare --net --uts --ipc --mount true 2>/dev/null ||
        fail 3 "this kernel or container refuses new namespaces"
}

need_cluster() {
    [[ ${VCLUSTER-} =~ ^lmv[0-9]+$ ]] || fail 2 "no VCLUSTER; use: eval \"\$(vcluster.sh up NODES)\""
    state=/run/$VCLUSTER
    [ "${1-}" = new ] || [ -f "$state/nodes" ] || fail 2 "cluster $VCLUSTER is not up"
}

namespaces() { ip netns list | awk -v name="$VCLUSTER-" 'index($1, name) == 1 { print $1 }'; }

# Ends all processes on the cluster, first politely.
end_processes() {
    local signal namespace found
    for signal in TERM KILL KILL; do
        for _ in 1 2 3 4 5 6 7 8 9 10; do
            found=
            for namespace in $(namespaces); do found+=$(ip netns pids "$namespace" 2>/dev/null || true); done
            [ -n "$found" ] || return 0
            for namespace in $(namespaces); do
                ip netns pids "$namespace" 2>/dev/null | xargs -r kill "-$signal" 2>/dev/null || true
            done
            sleep 0.1
        done
    done
}

down() {
    end_processes
    local namespace
    for namespace in $(namespaces); do ip netns del "$namespace" || true; done
    rm -rf "$state"
}

check_count() { [[ $2 =~ ^[1-9][0-9]*$ ]] && [ "$2" -le 64 ] || fail 2 "$1: expected 1 to 64, got $2"; }

up() {
    local nodes=$1 rate=$2 i host hosts=()
    check_count NODES "$nodes"
    VCLUSTER=lmv$$
    need_cluster new
    trap 'down; fail 3 "could not set the cluster up"' EXIT
    for ((i = 0; i < nodes; i++)); do hosts+=("node$i"); done
    hosts+=(head)  # where mpirun runs: its traffic is no node's
    mkdir -p "$state"
    ip netns add "$VCLUSTER-switch"
    ip -n "$VCLUSTER-switch" link add bridge type bridge stp_state 0 forward_delay 0
    ip -n "$VCLUSTER-switch" link set bridge up
    echo "127.0.0.1 localhost" >"$state/hosts"
    i=1
    for host in "${hosts[@]}"; do
        local here=$VCLUSTER-$host
        mkdir -p "$state/$host"
        echo "10.231.0.$i $host" >>"$state/hosts"
        ip netns add "$here"
        ip link add eth0 netns "$here" type veth peer name "port$i" netns "$VCLUSTER-switch"
        ip -n "$VCLUSTER-switch" link set "port$i" master bridge up
        ip -n "$here" link set lo up
        ip -n "$here" addr add "10.231.0.$i/24" dev eth0
        # Packets of 16 KiB rather than 64: at 200 Mbit/s a link sends one in 0.7 ms, and flows that
        # share it take turns so often. The buckets hold two of them, the queues never drop.
        ip -n "$here" link set eth0 gso_max_size 16384 up
        # Nothing is lost here, but packets wait: 48 flows fill a link's queue for 0.1 s and more. TCP
        # must not take that for losses and send again (no tail probes, no early time-outs), nor send
        # a message in several rounds of such a wait (a window of 128 packets from the start), nor slow
        # down by it: Reno does so only after losses, where BBR stops for up to 0.2 s in between.
        ip -n "$here" route replace 10.231.0.0/24 dev eth0 rto_min 2s initcwnd 128 initrwnd 128
        ip netns exec "$here" sh -c 'cd /proc/sys/net/ipv4 && echo 0 >tcp_early_retrans &&
            echo 0 >tcp_slow_start_after_idle && echo reno >tcp_congestion_control &&
            echo "4096 65536 2097152" >tcp_wmem && echo "4096 131072 2097152" >tcp_rmem'
        if [ "$host" != head ]; then
            local bucket=(root tbf rate "$rate" burst 32kb limit 64mb)
            tc -n "$here" qdisc add dev eth0 "${bucket[@]}"
            tc -n "$VCLUSTER-switch" qdisc add dev "port$i" "${bucket[@]}"
        fi
        i=$((i + 1))
    done
    # Open MPI's waiting ranks call sched_yield, after which they stay runnable: on 2 processors that
    # takes 16 ranks milliseconds a message.
    cc -O2 -shared -fPIC -x c -o "$state/give_way.so" - <<'END'
#include <time.h>
int sched_yield(void) {
    const struct timespec pause = {0, 20000};
    return nanosleep(&pause, 0);
}
END
    cat >"$state/enter" <<END
#!/bin/sh
# enter HOST COMMAND...: the command on that node
host=\$1
shift
exec ip netns exec "$VCLUSTER-\$host" unshare --uts --ipc --mount sh -c '
    hostname "\$1" && mount --bind "$state/hosts" /etc/hosts &&
        mount -t tmpfs -o mode=1777 shm /dev/shm || exit 98
    export TMPDIR="$state/\$1"
    shift
    exec "\$@"' enter "\$host" "\$@"
END
    cat >"$state/rsh" <<END
#!/bin/sh
# Open MPI calls it as it would ssh: rsh HOST COMMAND
host=\$1
shift
exec "$state/enter" "\$host" sh -c "\$*" </dev/null
END
    chmod +x "$state/enter" "$state/rsh"
    echo "$nodes" >"$state/nodes"
    trap - EXIT
}

# run AFTER RANKS PROGRAM...: AFTER is called when the job has ended, by itself or not
run() {
    local after=$1 ranks=$2 i slots="" nodes code=0
    shift 2
    check_count RANKS "$ranks"
    nodes=$(cat "$state/nodes")
    for ((i = 0; i < nodes; i++)); do slots+="node$i:$ranks,"; done
    # In the environment, so that a caller's OMPI_MCA_* and --mca win.
    local setting
    for setting in plm=rsh "plm_rsh_agent=$state/rsh" plm_rsh_no_tree_spawn=1 \
        oob_tcp_if_include=eth0 btl_tcp_if_include=eth0 btl=self,vader,tcp pml=ob1 \
        btl_tcp_flags=send mpi_yield_when_idle=1 \
        oob_tcp_keepalive_time=5 oob_tcp_keepalive_intvl=2 oob_tcp_keepalive_probes=3; do
        local name=OMPI_MCA_${setting%%=*}
        [ -n "${!name-}" ] || export "$name=${setting#*=}"
    done
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    trap "$after" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # In the background, since bash looks at its traps only between commands, or while it waits.
    "$state/enter" head mpirun -np $((nodes * ranks)) --host "${slots%,}" --map-by slot \
        --bind-to none -x LD_PRELOAD="$state/give_way.so" "$@" </dev/null &
    wait $! || code=$?
    exit "$code"
}

[ $# -gt 0 ] || usage
command=$1
shift
case $command in
    up)
        [ $# -eq 1 ] || [ $# -eq 2 ] || usage
        need_machine
        up "$1" "${2:-200mbit}"
        echo "export VCLUSTER=$VCLUSTER"
        ;;
    run)
        [ $# -ge 2 ] || usage
        need_machine
        need_cluster
        run end_processes "$@"
        ;;
    with)
        [ $# -ge 4 ] || usage
        need_machine
        trap 'exit 143' INT TERM HUP
        up "$1" "$2"
        shift 2
        run down "$@"
        ;;
    cut | heal)
        [ $# -eq 1 ] || usage
        need_cluster
        [[ $1 =~ ^[0-9]+$ ]] && [ "$1" -lt "$(cat "$state/nodes")" ] || fail 2 "no node $1"
        # The switch's end: the node sees that its link is dead, and keeps its address.
        ip -n "$VCLUSTER-switch" link set "port$(($1 + 1))" \
            "$([ "$command" = cut ] && echo down || echo up)"
        ;;
    down)
        [ $# -eq 0 ] || usage
        need_machine
        need_cluster
        down
        ;;
    *) usage ;;
esac
