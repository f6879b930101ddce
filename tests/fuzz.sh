#!/usr/bin/env bash
# usage: tests/fuzz.sh [SECONDS]
# Builds the fuzzers in tests/fuzz with clang's libFuzzer and the address and undefined-behaviour
# sanitizers, and runs each on its corpus for an equal share of SECONDS (60; 300 is the usual long form).
# What one finds stays in build/fuzz as crash-*; inputs that reach new code, in build/fuzz/NAME.
set -eu

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ $# -gt 1 ] || [[ ${1-} == -* ]]; then
    sed -n '2,5s/^# //p' "$root/tests/fuzz.sh"
    [[ ${1-} == -h || ${1-} == --help ]] && exit 0
    exit 2
fi
. "$root/cmake/setup.sh"
install_packages clang nlohmann-json3-dev

cd "$root"
build=build/fuzz
mkdir -p "$build"
names=()
for source in tests/fuzz/*.cpp; do names+=("$(basename "$source" .cpp)"); done
build_one() {
    local with=
    command -v ccache >/dev/null && with=ccache
    $with clang++ -std=c++20 -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
        -fno-sanitize-recover=undefined -Iinclude -Itests -Iexamples/plan -c "tests/fuzz/$1.cpp" -o "$2/$1.o"
    clang++ -fsanitize=fuzzer,address,undefined "$2/$1.o" -o "$2/fuzz-$1"
}
export -f build_one
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I{} bash -ec 'build_one {} '"$build"

share=$((${1:-60} / ${#names[@]}))
for name in "${names[@]}"; do
    mkdir -p "$build/$name"
    log=$build/$name.log
    options=(-max_len=256)
    # An input changes a plan many times over; choosing among inputs must not take longer than that.
    [ "$name" = validate ] && options=(-max_len=1024 -len_control=0 -entropic=0)
    # No input may make it ask for half a gigabyte at once, or take ten seconds.
    if ! ASAN_OPTIONS=malloc_context_size=2 "$build/fuzz-$name" "${options[@]}" \
        -max_total_time="$share" -malloc_limit_mb=512 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$build/crash-$name-" "$build/$name" "tests/fuzz/corpus/$name" \
        >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        exit 1
    fi
    echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") executions," \
        "$(sed -n 's/^[0-9]* changed plans$/&, /p' "$log")nothing found"
done
