#!/usr/bin/env python3
"""usage: tests/mutate.py [NUMBER...]

Breaks the library in small ways, one at a time, and shows that the tests notice each. All the ways are
compiled into one program, next to the right code, and chosen by an environment variable: so the tests
below are compiled once (in build/mutate, with CXX or g++), and each way costs only their run.

A way is (header, kind, right, wrong, test): the one place in the header where the text `right` stands,
an expression ("e") or statements ("s"), what to do instead, and the file in tests that must fail. Only
what stands between backticks, if there are any, is replaced. NUMBER: only those ways."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

PLAN_LAWS = "plan/strategies"
WAYS = [
    # topology and placement
    ("topology/topology", "e", "`same_node(a, b)` ? link_tier::intra_node", "!same_node(a, b)", "topology/topology"),
    ("topology/topology", "s", "local_index_[r] = next[n] - first_[n];", "local_index_[r] = next[n];",
     "topology/topology"),
    ("topology/expert_placement", "s", "local_index_[e] = next[r] - first_[r];",
     "local_index_[e] = next[r];", "topology/expert_placement"),
    ("topology/expert_placement", "e", "static_cast<rank_id>(e * ranks / experts)",
     "static_cast<rank_id>((e * ranks + 1) / (experts + 1))", "topology/expert_placement"),
    # who gets a slot
    ("assign/assignment", "e", "next[e] < limit_of(e)", "next[e] <= limit_of(e)", "assign/assignment"),
    ("assign/assignment", "s", "a.position[i] = next[e]++;",
     "a.position[i] = next[e]; next[e] += 2;", "assign/assignment"),
    ("assign/assignment", "s", "++dropped[e];", "", "assign/assignment"),
    ("assign/assignment", "s", "a.kept[e] += next[e];", "a.kept[e] = next[e];", "assign/assignment"),
    ("assign/assignment", "e", "others |= `some | (last - some)`;", "some", "assign/assignment"),
    ("assign/drop_policy", "e", "b.priority < a.priority", "a.priority < b.priority",
     "assign/drop_policy"),
    ("assign/drop_policy", "e", "a.pair < b.pair", "a.pair > b.pair", "assign/drop_policy"),
    ("assign/drop_policy", "e", "decided.weights[token * decided.choice_count + slot]",
     "-decided.weights[token * decided.choice_count + slot]", "assign/drop_policy"),
    ("assign/drop_policy", "e", "detail::probability_of(decided, token, slot)",
     "decided.probabilities[token * decided.expert_count + slot]", "assign/drop_policy"),
    ("assign/drop_policy", "e", "first_token + token", "token", "assign/drop_policy"),
    ("assign/drop_policy", "e", ".bits(`slot`)", "0", "assign/drop_policy"),
    ("assign/drop_policy", "e", "-static_cast<std::int64_t>(slot)", "static_cast<std::int64_t>(slot)",
     "assign/drop_policy"),
    ("assign/drop_policy", "e", "a.slot > b.slot", "a.slot < b.slot", "assign/drop_policy"),
    ("assign/drop_policy", "e", "a.score < b.score", "a.score > b.score", "assign/drop_policy"),
    ("assign/drop_policy", "e", "score > best", "score < best", "assign/drop_policy"),
    ("assign/drop_policy", "e", "load[e] < limit[e] ? load[e] : `limit[e]`", "limit[e] - 1",
     "assign/drop_policy"),
    ("assign/drop_policy", "s", "first[e] = share(limit[e], before, total, options.rank);", "",
     "assign/drop_policy"),
    ("assign/drop_policy", "s",
     "return assign(decided, assign_options{.before = options.before, .rank = options.rank});",
     "return assign(decided, options);", "assign/drop_policy"),
    ("assign/renormalise_kept", "s", "all += decided.weights[i];",
     "if (assigned.expert[i] != no_expert) all += decided.weights[i];", "assign/renormalise_kept"),
    ("assign/renormalise_kept", "e", "`assigned.expert[i] != no_expert`) kept +=", "true",
     "assign/renormalise_kept"),
    ("assign/renormalise_kept", "e", "kept > Real(0) ? all / kept : Real(0)", "all / kept",
     "assign/renormalise_kept"),
    ("assign/renormalise_kept", "s", "if (!stays) decided.chosen[i] = no_expert;", "",
     "assign/renormalise_kept"),
    ("assign/renormalise_kept", "e", "assigned.expert.size() != decided.chosen.size()", "false",
     "assign/renormalise_kept"),
    # direct, and what all strategies share
    ("plan/detail/kept_pairs", "e", "request.placement.rank_of(e) > request.rank",
     "request.placement.rank_of(e) >= request.rank", PLAN_LAWS),
    ("plan/detail/kept_pairs", "e", "`next[static_cast<std::size_t>(e)]++`;",
     "next[static_cast<std::size_t>(e)]", PLAN_LAWS),
    ("plan/direct", "e", "m.words.size() < theirs.size()", "m.words.size() <= theirs.size()",
     PLAN_LAWS),
    ("plan/direct", "s", "rows_.staging_rows += count;", "rows_.staging_rows += count - (count > 2);",
     PLAN_LAWS),
    ("plan/direct", "s", "gather = sums.first[t + 1] == sums.first[t] + 1;", "gather = true;",
     PLAN_LAWS),
    ("plan/detail/arrivals", "e", "a.source < b.source", "a.source > b.source", PLAN_LAWS),
    ("plan/detail/arrivals", "s", "pair[n] = b.pair + n;", "pair[n] = b.pair;", PLAN_LAWS),
    ("plan/detail/arrivals", "s", "place += b.count;", "place += 1;", PLAN_LAWS),
    ("plan/detail/exact_combine", "e", "= `rows[pair]`;", "rows[rows.size() - 1 - pair]", PLAN_LAWS),
    # rows over several ranks
    ("plan/row_forwarder", "e", "run != last_run_", "run > last_run_", PLAN_LAWS),
    ("plan/row_forwarder", "s", "if (needs > needs_) needs_ = needs;", "", PLAN_LAWS),
    ("plan/row_forwarder", "s", "if (needs > p.needs) p.needs = needs;", "", PLAN_LAWS),
    ("plan/row_forwarder", "s", "++word;", "word += rows_ % 2;", PLAN_LAWS),
    ("plan/row_forwarder", "s", "out->add(from, row, pair, expert, number + 1);",
     "out->add(from, row, pair, expert, number);", PLAN_LAWS),
    ("plan/row_forwarder", "s", "moved.staging_rows += rows;", "moved.staging_rows += rows - 1;",
     PLAN_LAWS),
    ("plan/node_aggregated", "e", "`node == home` ? rows_.to(phases_.own_node(), to)",
     "node != home", PLAN_LAWS),
    ("plan/node_aggregated", "e", "tokens % chunks != 0 ? 1 : 0", "tokens % chunks != 0 ? 2 : 0",
     PLAN_LAWS),
    ("plan/store_and_forward", "e", "(home + distance % radix * unit) % count",
     "(home + count - distance % radix * unit % count) % count", PLAN_LAWS),
    ("plan/store_and_forward", "s", "for (; distance % radix == 0; distance /= radix, unit *= radix) ++digit;",
     "", PLAN_LAWS),
    ("plan/capacity_padded", "e", "i < pair_count_[e]", "i + 1 < pair_count_[e]", PLAN_LAWS),
    ("plan/capacity_padded", "e", "blocks_[b].phases_before > step.needs",
     "blocks_[b].phases_before > step.needs + 1", PLAN_LAWS),
    ("plan/group_wise", "e", "tokens * (j + 1) / parts", "tokens * j / parts + 1", "plan/group_wise"),
    ("plan/group_wise", "e", "own_tokens.empty() || `own_tokens.back() != token`;",
     "own_tokens.back() < token - 1",
     "plan/group_wise"),
    # the transpose
    ("plan/transpose", "s", "turned.needs = phase_count - pieces[p + 1].first_user;",
     "turned.needs = 0;", PLAN_LAWS),
    ("plan/transpose", "s",
     "for (segment& s : turned.receives) s.first += returns[p] - back.source_rows;", "", PLAN_LAWS),
    ("plan/transpose", "e", "user < pieces[p].first_user", "user + 1 < pieces[p].first_user", PLAN_LAWS),
    ("plan/transpose", "e", "piece.first[i] == 1", "piece.first[i] >= 1", PLAN_LAWS),
    ("plan/transpose", "s", "turned.send_order = old.receive_order;",
     "turned.send_order = old.send_order;", "plan/message_order"),
    # what validate asks for
    ("plan/detail/check_flow", "e", "s.first != begin", "false", "plan/validate"),
    ("plan/detail/check_flow", "e", "step.needs > p", "false", "plan/validate"),
    ("plan/detail/check_flow", "e", "s.rows <= 0", "s.rows < 0", "plan/validate"),
    ("plan/detail/check_flow", "e", "r >= available", "r > available", "plan/validate"),
    ("plan/detail/check_flow", "e", "copies && !gathers", "false", "plan/validate"),
    ("plan/validate", "e", "out.tier != in.tier", "false", "plan/validate"),
    ("plan/validate", "e", "got_pairs[at][row] != w.pair_tag", "false", "plan/validate"),
    ("plan/validate", "e", "sent != received", "sent < received", "plan/validate"),
    # chunks, orders, traffic
    ("plan/split", "e", "segments.back().peer != like.peer", "false", "plan/split"),
    ("plan/split", "e", "if (`!is_mirrored(whole)`)", "false", "plan/split"),
    ("plan/split", "e", "i < of_results.size() ? static_cast<std::size_t>(of_results[i]) : 0",
     "std::size_t{0}", "plan/split"),
    ("plan/split", "e", "numbers.push_back(`space[static_cast<std::size_t>(r)]`);", "space[0]",
     "plan/split"),
    ("plan/split", "e", "`sums[r][i] / counts[r][i]`", "sums[r][i]", "plan/split"),
    ("plan/split", "s", "plan.group = whole.group;", "", "plan/split"),
    ("plan/split", "e", "of[static_cast<std::size_t>(r)] != chunk", "false", "plan/split"),
    ("plan/split", "e", "of_whole.is_gather() || !rows.is_gather()", "true", "exec/pipeline"),
    ("plan/message_order", "e", "place[n] != count", "false", "plan/message_order"),
    ("plan/flow", "e", "enough < window.messages", "enough != window.messages", "plan/large_counts"),
    ("plan/traffic", "e", "s.rows * static_cast<std::int64_t>(row_bytes)",
     "s.rows + static_cast<std::int64_t>(row_bytes)", "plan/large_counts"),
    # the exchange
    ("exec/executor", "e", "pairs[i] = `weights[static_cast<std::size_t>(plan.pair_slots[i])]`;",
     "weights[i]",
     "exec/executor"),
    ("exec/executor", "s", "for (Real& w : weights) w = Real(0);", "", "exec/executor"),
    ("exec/executor", "s",
     "kernels_.scale(gradient, std::span<const Real>(row_weights), gradient);", "",
     "exec/executor"),
    ("exec/executor", "e", "rows.rows != expected", "rows.rows > expected", "exec/executor"),
    ("exec/detail/flight", "s", "packed_rows_ += step.pack.rows();", "", "exec/executor"),
    ("exec/detail/flight", "s", "arrive(step.needs);", "", "exec/executor"),
    ("exec/detail/flight", "e", "rows.is_gather() && !weighted_", "rows.is_gather()",
     "exec/executor"),
    ("exec/detail/phase_blocks", "e", "packed + `static_cast<std::size_t>(s.first) * row_bytes`",
     "std::size_t{0}", "exec/executor"),
    ("exec/executor", "e", "`detail::count_balance(flows, backend_->rank())`", "0", "exec/faults"),
    ("exec/executor", "e", "`fingerprint(plan.strategy).value()`},\n", "0", "exec/faults"),
    ("exec/executor", "e", "\"number of chunks\", `chunks`, true", "0", "exec/faults"),
    ("exec/in_process", "e", "inbox[s]->number == flight.receives[r].number", "true",
     "exec/in_process"),
    ("exec/in_process", "e", "sent.bytes != into.bytes", "sent.bytes < into.bytes",
     "exec/in_process"),
    ("exec/in_process", "e", "(place - 1)->peer > rank_", "false", "exec/in_process"),
    # the exchange in chunks
    ("exec/pipeline", "e", "work(leg, `tick - first - leg`);",
     "chunks_.size() - 1 - (tick - first - leg)", "exec/pipeline"),
    ("exec/pipeline", "e", "slice(from, `chunk.first_token`,",
     "chunk.first_token - (chunk.first_token > 0 ? 1 : 0)", "exec/pipeline"),
    ("exec/pipeline", "e", "slice(to, `chunk.first_token`,", "std::size_t{0}", "exec/pipeline"),
    ("exec/pipeline", "s", "{ `compute(c);` }", "compute(c); compute(c);", "exec/pipeline"),
    ("exec/pipeline", "e", "`c % (out + 1)`", "0", "exec/pipeline"),
    ("exec/pipeline", "e", "`c % (home + 1)`", "0", "exec/pipeline"),
    ("exec/pipeline", "e", "needs > first.back()", "false", "exec/pipeline"),
    ("exec/pipeline", "s", "needed = executor_->backend().scan_counts(needed).total;", "",
     "exec/pipeline"),
    ("exec/pipeline", "e", "own.push_back(`rows[static_cast<std::size_t>(r)]`);", "rows[own.size()]",
     "exec/pipeline"),
    ("exec/pipeline", "e", "`rows[static_cast<std::size_t>(r)]` = dots[i++];",
     "rows[rows.size() - 1 - static_cast<std::size_t>(r)]", "exec/pipeline"),
    ("exec/pipeline", "s", "if (failure) return;", "", "exec/pipeline"),
    # group_wise, whose combine is cut by itself
    ("exec/pipeline", "s", "carry(whole_.combine, at_expert(whole_.dispatch, tokens, staged_rows),\n"
     "                      staged_results);", "", "exec/pipeline"),
    ("exec/pipeline", "s",
     "carry(whole_.pair_combine, at_expert(whole_.pair_dispatch, pairs, staged_pairs),\n"
     "                      staged_pair_results);", "", "exec/pipeline"),
    ("exec/pipeline", "e", "`sources[i]` : staged[i - sources.size()]", "one_row", "exec/pipeline"),
    ("exec/pipeline", "e", "n % one_row / (n / one_row)", "n % one_row", "exec/pipeline"),
    # its merged agreements
    ("exec/pipeline", "s", "validate(whole_);", "", "exec/faults"),
    ("exec/pipeline", "e", "}, `chunks`);", "0", "exec/faults"),
    ("exec/pipeline", "s", """executor_->agree_on("pipeline", flows, element_type::i64, sizeof(chunk_sum), [&] {
            if (tried.failed()) tried.rethrow();
        });""", "if (tried.failed()) tried.rethrow();", "exec/pipeline"),
    ("exec/pipeline", "e", "{`type_and_width(from)`, type_and_width(as_token_rows(outputs))}",
     "common_value{}", "exec/faults"),
    ("exec/pipeline", "e", "type_and_width(as_token_rows(outputs))", "common_value{}",
     "exec/faults"),
    ("exec/pipeline", "e", "{`type_and_width(from)`, type_and_width(as_token_rows(leaving))",
     "common_value{}", "exec/faults"),
    ("exec/pipeline", "e", "type_and_width(as_token_rows(leaving))", "common_value{}",
     "exec/faults"),
    ("exec/pipeline", "e", ".add(`static_cast<std::uint64_t>(rows.type)`)", "0", "exec/faults"),
    # orders and plans that are kept
    ("exec/choose_order", "e", "window = `costs.inter_node.window()`;",
     "costs.inter_node.window() > 0 ? 4 : 0", "exec/choose_order"),
    ("exec/choose_order", "e", "`window > 0 && options.window`", "options.window.has_value()",
     "exec/choose_order"),
    ("exec/choose_order", "e", "count < options.open_shop_nodes", "count <= options.open_shop_nodes",
     "exec/choose_order"),
    ("exec/choose_order", "e", "+= `s.rows`;", "1", "exec/choose_order"),
    ("exec/plan_cache", "e", "std::bit_width(`ranks`)", "ranks - 1", "exec/plan_cache"),
    ("exec/plan_cache", "e", "== `ranks`) return begin + i", "ranks - 1", "exec/plan_cache"),
    ("exec/plan_cache", "e", "return `begin + i`;", "i", "exec/plan_cache"),
    ("exec/plan_cache", "s", "fresh.counts = kept_[i].counts;", "fresh.counts = now_;",
     "exec/plan_cache"),
    ("exec/plan_cache", "s", "            to_front(i);\n", "", "exec/plan_cache"),
    # the same bits over threads and blocks
    ("core/parallel", "e", "work(`grains * part / parts * grain`, end",
     "grains * part / parts * grain + (part > 0 ? 1 : 0)", "exec/thread_team"),
    ("core/parallel", "e", "end < count ? end : count", "end + 1 < count ? end + 1 : count",
     "exec/thread_team"),
    ("assign/assignment", "e", "`i < first_of(part + 1)`; ++i", "i + 1 < first_of(part + 1)",
     "assign/assignment"),
    ("assign/assignment", "s", "at += count < room ? count : room;", "at += count;",
     "assign/assignment"),
    ("assign/assignment", "e", "own[e] < limit_of(e)", "own[e] <= limit_of(e)", "assign/assignment"),
    ("assign/assignment", "s", "a.dropped[e] += drops_of(part)[e];",
     "a.dropped[e] = drops_of(part)[e];", "assign/assignment"),
    ("exec/parallel_kernels", "e", "kernels_.gather(space, rows, {`range.begin + begin`,", "begin",
     "exec/parallel_kernels"),
    ("exec/parallel_kernels", "e",
     "kernels_.sum(space, rows, {range.begin + begin, `range.begin + end`}", "range.begin + end - 1",
     "exec/parallel_kernels"),
    ("exec/parallel_kernels", "e", "weights.subspan(begin, end - begin)", "weights",
     "exec/parallel_kernels"),
    ("exec/parallel_kernels", "e", "dots.subspan(begin, end - begin)", "dots",
     "exec/parallel_kernels"),
    ("exec/detail/row_loops", "e", "sum += `p`;", "parts[&p - parts ^ (Bytes == 16 ? 0 : 1)]",
     "exec/host_kernels"),
    ("routing/detail/segment_means", "e", "return `sum_halves(part)`;",
     "part[0] + part[1] + part[2] + part[3] + part[4] + part[5] + part[6] + part[7]",
     "routing/segment_means"),
    ("routing/detail/dense_product", "e", "least((fits < 1 ? 1 : fits) * `summed_depth`,", "200",
     "routing/dense_product"),
    ("routing/grap_gate", "e", "t < first + logits.rows", "t + 1 < first + logits.rows",
     "routing/grap_gate"),
    ("routing/scored_router", "e", "blocks.forward(`t`, block);", "begin", "routing/scored_router"),
    ("routing/scored_router", "e", "most < end - t ? most : end - t",
     "most < end - t ? most : end - t - (t > begin ? 1 : 0)", "routing/scored_router"),
    ("routing/scored_router", "e", "decide(rule, block, `t`, where, decided, soon);", "begin",
     "routing/scored_router"),
    ("routing/scored_router", "e",
     "decide(rule, rows_of(table, begin, end - begin), `begin`, where", "0",
     "routing/scored_router"),
]

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "mutate"
SWITCH = """#pragma once
#include <cstdlib>
inline bool locmoe_mutant(int number) {
    static const char* const chosen = std::getenv("LOCMOE_MUTANT");
    static const int on = chosen == nullptr ? -1 : std::atoi(chosen);
    return on == number;
}
"""


def place(numbers):
    """Writes the headers with all chosen ways in them; returns the ways that no longer apply."""
    stale = []
    texts = {}
    for n in numbers:
        header, kind, right, wrong, _ = WAYS[n]
        text = texts.get(header) or (ROOT / "include" / "locmoe" / (header + ".hpp")).read_text()
        before, operand, after = right.split("`") if "`" in right else ("", right, "")
        if text.count(before + operand + after) != 1:
            stale.append(n)
            continue
        if kind == "s":
            choice = f"if (locmoe_mutant({n})) {{ {wrong} }} else {{ {operand} }}"
        else:
            choice = f"(locmoe_mutant({n}) ? ({wrong}) : ({operand}))"
        texts[header] = text.replace(before + operand + after, before + choice + after)
    for header, text in texts.items():
        copy = BUILD / "include" / "locmoe" / (header + ".hpp")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    return stale


def build(numbers):
    tests = sorted({WAYS[n][4] for n in numbers})
    compiler = os.environ.get("CXX", "g++").split()
    if shutil.which("ccache"):
        compiler.insert(0, "ccache")
    flags = ["-std=c++20", "-O1", "-w", "-include", str(BUILD / "mutant.hpp"),
             f"-I{BUILD}/include", f"-I{ROOT}/include", f"-I{ROOT}/tests"]
    (BUILD / "mutant.hpp").write_text(SWITCH)
    objects = []
    for test in ["main", *tests]:
        built = BUILD / (test.replace("/", "_") + ".o")
        subprocess.run([*compiler, *flags, "-c", str(ROOT / "tests" / (test + ".cpp")), "-o",
                        str(built)], check=True)
        objects.append(str(built))
    program = BUILD / "tests"
    subprocess.run([*compiler[-1:], *objects, "-pthread", "-o", str(program)], check=True)
    return program


def run(program, number, test, seconds):
    name = test.split("/")[-1]
    command = [str(program), "-#", "-a", f"[#{name}]"]
    environment = dict(os.environ, LOCMOE_MUTANT=str(number))
    try:
        return subprocess.run(command, env=environment, timeout=seconds, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode
    except subprocess.TimeoutExpired:
        return "hangs"


def main():
    if any(a.startswith("-") for a in sys.argv[1:]):
        print(__doc__)
        return 0
    numbers = [int(a) for a in sys.argv[1:]] or list(range(len(WAYS)))
    BUILD.mkdir(parents=True, exist_ok=True)
    stale = place(numbers)
    for n in stale:
        print(f"{n}: no longer applies: {WAYS[n][0]}: {WAYS[n][2]}")
    numbers = [n for n in numbers if n not in stale]
    program = build(numbers)
    seconds = {}  # beyond which a broken test hangs
    for test in sorted({WAYS[n][4] for n in numbers}):
        print(f"unbroken: {test}", flush=True)
        begin = time.monotonic()
        if run(program, -1, test, 300) != 0:
            print(f"{test} fails unbroken")
            return 1
        seconds[test] = 20 + 5 * (time.monotonic() - begin)
    survivors = []
    for n in numbers:
        header, _, right, wrong, test = WAYS[n]
        caught = run(program, n, test, seconds[test]) != 0
        if not caught:
            survivors.append(n)
        print(f"{n}: {'caught' if caught else 'SURVIVED'} by {test}: {header}: "
              f"{' '.join(right.split())} -> {' '.join(wrong.split()) or 'nothing'}", flush=True)
    print(f"{len(numbers) - len(survivors)} of {len(numbers)} caught, {len(survivors)} survived, "
          f"{len(stale)} no longer apply")
    return 1 if survivors or stale else 0


if __name__ == "__main__":
    sys.exit(main())
