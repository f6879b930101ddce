# shellcheck shell=bash
# Sourced by tests/run.sh, examples/quickstart.sh and bench/run.sh: what brings a bare Debian 12 to a
# finished build.

# install_packages PACKAGE...: installs what is missing; where nothing is, apt is not called. As root,
# or by sudo where it asks for no password; else says what to run and fails.
install_packages() {
    command -v dpkg-query >/dev/null || return 0  # not a Debian: CMake says what it does not find
    local package state missing=() as_root=() log
    for package in "$@"; do
        state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=none
        [ "$state" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "These packages are missing. Install them as root, then try again:" >&2
            echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo -n)
    fi
    echo "Installing ${missing[*]}"
    as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300)
    log=$(mktemp)
    if ! { "${as_root[@]}" update && "${as_root[@]}" install -y --no-install-recommends \
        "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# build_project FOLDER TARGET CMAKE_OPTION...: configures in FOLDER and builds TARGET, through ccache if
# it is there. Speaks of the configuring only where that fails.
build_project() {
    local folder=$1 target=$2 root
    shift 2
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    mkdir -p "$folder"
    if command -v ccache >/dev/null; then
        set -- -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"
        export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1  # one cache for all checkouts
        if [ -z "${CCACHE_DIR-}" ] && ! { mkdir -p "${HOME:-/nonexistent}/.cache/ccache" &&
            [ -w "$HOME/.cache/ccache" ]; } 2>/dev/null; then
            export CCACHE_DIR=$root/build/ccache
        fi
    fi
    if ! cmake -S "$root" -B "$folder" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" \
        >"$folder/configure.log" 2>&1; then
        cat "$folder/configure.log" >&2
        return 1
    fi
    cmake --build "$folder" --target "$target" -j "$(nproc)"
}

# fast_blas: one thread a rank, and kernels that fit the processor. Debian's OpenBLAS does not know newer
# processors and falls back to SSE3, two to four times slower.
fast_blas() {
    if [ -z "${OPENBLAS_CORETYPE-}" ] && [ -r /proc/cpuinfo ]; then
        if grep -qw avx512dq /proc/cpuinfo; then
            export OPENBLAS_CORETYPE=SkylakeX
        elif grep -qw avx2 /proc/cpuinfo; then
            export OPENBLAS_CORETYPE=Haswell
        fi
    fi
    export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
}
