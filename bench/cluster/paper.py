#!/usr/bin/env python3
"""LocMoE's table on clusters that SimGrid simulates: see README.md beside this file.

For each cluster and router: a real training by the example trainer, one rank a node, which gives the
held-out loss and records which experts the tokens chose; then one step's micro-batch by smpi_step.cpp
under SMPI, which routes those tokens. Prints tables, writes JSON and bars as SVG.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import time
from array import array

HERE = os.path.dirname(os.path.abspath(__file__))
LEAF = 4  # nodes a leaf switch
SHRINK = 32  # of rows and bandwidths alike: see smpi_step.cpp
EPOCH_TOKENS = 1e9
MICRO_BATCHES = 16  # a step, between two sums of the gradients
SIMULATED_LAYERS = 2  # each stands for as many of the model's
TRAINING_TOKENS = 2048  # a step of the real training, over all nodes
CONTEXT = 64
FACTOR = 1.25

PARTS = ["computation", "overlapped", "all-to-all", "other communication", "idle"]
COLOURS = ["#4878a8", "#8fb3d1", "#d1495b", "#e8a87c", "#c8c8c8"]


def pangu():
    """PanGu-Sigma as LocMoE has it: PanGu-alpha 13B's layers, 8 of the 40 with experts."""
    d, layers, moe, sequence, vocabulary = 5120, 40, 8, 1024, 40000
    per = layers // moe
    attention = 8 * d * d + 4 * sequence * d
    return dict(
        name="PanGu-Sigma, 16 experts, top-1, TP 8", nic=100.0, intra=90.0, tensor_parallel=8, experts=16, choices=1,
        tokens=2048, moe_layers=moe, row_bytes=2 * d,
        dense_flops=per * attention + (per - 1) * 16 * d * d + 2 * vocabulary * d / moe,
        dense_all_reduces=2 * per - 1, expert_flops=16 * d * d,
        dense_bytes=2 * (layers * 4 + (layers - moe) * 8) * d * d / 8,
        expert_bytes=2 * moe * 8 * d * d / 8, flops=1.037e14, chunks=0)


def fine_grained():
    """OLMoE-1B-7B: all 16 layers with experts, which are not split."""
    d, inner, layers, sequence, vocabulary = 2048, 1024, 16, 4096, 50304
    return dict(
        name="OLMoE, 64 experts, top-8", nic=400.0, intra=450.0, tensor_parallel=1, experts=64,
        choices=8, tokens=512, moe_layers=layers, row_bytes=2 * d,
        dense_flops=8 * d * d + 4 * sequence * d + 2 * vocabulary * d / layers,
        dense_all_reduces=0, expert_flops=6 * d * inner,
        dense_bytes=2 * (layers * 4 * d * d + 2 * vocabulary * d),
        expert_bytes=2 * layers * 3 * d * inner, flops=4e14, chunks=1)


class Bench:
    def __init__(self, options):
        self.trainer, self.step, self.work = options.trainer, options.smpi_step, options.work
        self.steps, self.data = options.steps, options.data

    def train(self, router, nodes, per_node, model):
        """The trainer's report and the folder of recorded choices. The same training is not repeated:
        remove the folder to have it done again. After the router's name, options for it."""
        router, *own = router.split()
        members = nodes * per_node
        sequences = TRAINING_TOKENS // members // CONTEXT
        tokens = model["tokens"] * 8 // model["tensor_parallel"]  # of a node and layer
        recorded = tokens * SIMULATED_LAYERS * members // TRAINING_TOKENS
        command = [self.trainer, "--router", router, "--nodes", nodes, "--ranks-per-node", per_node,
                   "--experts", model["experts"], "--choices", model["choices"], "--sequences", sequences, "--steps", self.steps,
                   "--capacity", f"factor:{FACTOR}", "--record-steps", recorded, *own]
        command = [str(word) for word in command]
        folder = os.path.join(self.work,
                              f"{router}{''.join(own)}-{model['experts']}-{nodes}x{per_node}")
        done = os.path.join(folder, "command")
        if not os.path.exists(done) or open(done).read() != " ".join(command):
            os.makedirs(folder, exist_ok=True)
            begin = time.time()
            run = subprocess.run(command + ["--record", folder, "--data", self.data, "--json",
                                            os.path.join(folder, "report.json")],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if run.returncode != 0:
                sys.exit(run.stdout)
            with open(done, "w") as f:
                f.write(" ".join(command))
            print(f"trained {router} on {nodes} x {per_node}: {time.time() - begin:.0f} s", flush=True)
        with open(os.path.join(folder, "report.json")) as f:
            report = json.load(f)["routers"][0]
        routing = os.path.join(folder, "layers")
        layers = [array("i") for _ in range(SIMULATED_LAYERS)]
        for member in range(members):
            chosen = array("i")
            with open(os.path.join(folder, f"{router}.{member}"), "rb") as f:
                chosen.frombytes(f.read())
            part = len(chosen) // SIMULATED_LAYERS
            for i, layer in enumerate(layers):
                layer.extend(chosen[i * part:(i + 1) * part])
        with open(routing, "wb") as f:
            for layer in layers:
                layer.tofile(f)
        return report, routing

    def simulate(self, nodes, model, routing, exchange, slots):
        cluster = os.path.join(self.work, f"cluster{nodes}")
        subprocess.run([sys.executable, os.path.join(HERE, "smpi_platform.py"), "--nodes", str(nodes),
                        "--leaf", str(LEAF), "--speed", str(model["flops"] / 1e9),
                        "--nic", str(model["nic"] / SHRINK),
                        "--intra", str(model["intra"] / SHRINK), "-o", cluster], check=True)
        names = ["tensor_parallel", "experts", "choices", "tokens", "row_bytes", "dense_flops",
                 "dense_all_reduces", "expert_flops", "dense_bytes", "expert_bytes", "flops"]
        arguments = [f"{name}={model[name]}" for name in names] + [
            f"nodes={nodes}", f"layers={SIMULATED_LAYERS}", f"shrink={SHRINK}", f"factor={FACTOR}",
            f"intra_bandwidth={model['intra'] * 1e9}", f"nic_bandwidth={model['nic'] * 1e9}",
            f"leaf_nodes={LEAF}", f"routing={routing}", f"exchange={exchange}",
            f"slots={slots}", f"chunks={model['chunks'] if exchange == 'chosen' else 1}"]
        configuration = [
            "smpi/simulate-computation:no", "smpi/bw-factor:0:1", "smpi/lat-factor:0:1",
            "network/TCP-gamma:0", "network/weight-S:0", "network/crosstraffic:no",
            "smpi/iprobe:0", "smpi/test:2e-7", "smpi/grow-injected-times:no",
            "smpi/coll-selector:ompi", f"smpi/send-is-detached-thresh:{65536 // SHRINK}"]
        run = subprocess.run(
            ["smpirun", "-no-privatize", "-np", str(8 * nodes), "-platform", cluster + ".xml",
             "-hostfile", cluster + ".hosts"] + ["--cfg=" + c for c in configuration] +
            ["--log=root.thres:error", self.step] + arguments,
            cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if run.returncode != 0:
            sys.exit(run.stdout + run.stderr)
        return json.loads(run.stdout)


def cell(bench, nodes, model, router, exchange, slots=0, buddies=False):
    """One row of the table: seconds of an epoch and its parts."""
    grid = (nodes // 2, 2) if buddies else (nodes, 1)
    report, routing = bench.train(router, *grid, model)
    one = bench.simulate(nodes, model, routing, exchange, slots)
    members = 8 * nodes // model["tensor_parallel"]
    times = EPOCH_TOKENS / (members * model["tokens"])  # micro-batches an epoch
    layers = times * model["moe_layers"] / SIMULATED_LAYERS
    sums = one["gradients"] * times / MICRO_BATCHES
    parts = {
        "computation": layers * (one["compute"] - one["overlapped"]),
        "overlapped": layers * one["overlapped"],
        "all-to-all": layers * (one["exchange"] + one["plan"]),
        "other communication": layers * one["inside_node"] + sums,
        "idle": layers * one["idle"]}
    total = sum(parts.values())
    return {"cluster": 8 * nodes, "router": router, "exchange": exchange, "slots": slots,
            "strategy": one["strategy"], "chunks": one["chunks"], "seconds": total, "parts": parts,
            "gradient_sums": sums, "planning": layers * one["plan"],
            "share": parts["all-to-all"] / total,
            "inter_node_bytes": one["inter_node_bytes"] * model["moe_layers"] / SIMULATED_LAYERS *
            MICRO_BATCHES,
            "imbalance": one["imbalance"], "dropped": report["dropped_fraction"],
            "held_out": report["heldout_bits_per_byte"]}


def label(c):
    exchange = {"padded": "flat, padded", "flat": "flat", "chosen": c["strategy"].split(",")[0]}
    text = f"{c['router']}, {exchange[c['exchange']]}"
    if c["chunks"] > 1:
        text += f", {c['chunks']} chunks"
    if c["slots"]:
        text += f", {c['slots']} slot{'s' if c['slots'] > 1 else ''}"
    return text


def print_header():
    print(f"\n{'N':>4} {'router, exchange':<52} {'epoch s':>8} {'comp':>7} {'overl':>6} {'a2a':>6} "
          f"{'other':>6} {'idle':>6} {'share':>6} {'GB/step':>8} {'load':>5} {'drop':>6} {'loss':>7}")


def print_cell(c):
    p = c["parts"]
    print(f"{c['cluster']:>4} {label(c):<52} {c['seconds']:>8.0f} {p['computation']:>7.0f} "
          f"{p['overlapped']:>6.0f} {p['all-to-all']:>6.0f} {p['other communication']:>6.0f} "
          f"{p['idle']:>6.0f} {100 * c['share']:>5.1f}% {c['inter_node_bytes'] / 1e9:>8.1f} "
          f"{c['imbalance']:>5.2f} {100 * c['dropped']:>5.1f}% {c['held_out']:>7.4f}", flush=True)


def judge(cells, rivals, target):
    """Rows of the JSON: the fastest of ours whose loss is within 1 % of the rivals', against each."""
    find = {(c["router"], c["exchange"]): c for c in cells if not c["slots"]}
    best_loss = min(find[r, "flat"]["held_out"] for r in rivals)
    ours = [c for c in cells if c["exchange"] == "chosen" and c["held_out"] <= 1.01 * best_loss]
    best = min(ours, key=lambda c: c["seconds"])
    print(f"best of ours: {label(best)}, {best['seconds']:.0f} s an epoch")
    # What no exchange can save: the rows' and the dense layers' computation, evenly spread, the
    # all-reduces of tensor parallelism and the sums of dense gradients.
    kept = best["parts"]["computation"] + best["parts"]["overlapped"]
    other = min(c["parts"]["other communication"] for c in cells)
    rows = []
    for router in rivals:
        for exchange in ("padded", "flat"):
            rival = find[router, exchange]
            saved = 1 - best["seconds"] / rival["seconds"]
            plan = 1 - find[router, "chosen"]["seconds"] / rival["seconds"]
            print(f"  {100 * saved:6.2f} % less time than {label(rival)} (loss "
                  f"{100 * (best['held_out'] / rival['held_out'] - 1):+.2f} %), "
                  f"{100 * plan:.2f} % by the plan alone")
            # Experts stay whole and one router's loads are what they are: then nodes wait.
            waiting = best["parts"]["idle"]
            bounds = {"its All-to-All taken away": rival["share"],
                      "no exchange, no padding": 1 - (kept + other + waiting) / rival["seconds"],
                      "and even loads": 1 - (kept + other) / rival["seconds"]}
            print("         of what is saved by " + ", ".join(
                f"{what}, {100 * bound:.2f} %: {saved / bound:.2f}" for what, bound in bounds.items()))
            name = f"{best['cluster']}N, {label(best)}: less time an epoch than {label(rival)}"
            if target:
                rows.append(dict(name=name, value=saved, unit="fraction", rival="target",
                                 rival_value=target, ratio=saved / target, target=1))
            for what, bound in bounds.items():
                rows.append(dict(name=name + ", of the bound", value=saved, unit="fraction",
                                 rival=what, rival_value=bound, ratio=saved / bound,
                                 target=0.9 if target else None))
    flat = [c for c in cells if c["exchange"] == "flat"]
    for c in flat[1:]:
        alone = 1 - c["seconds"] / flat[0]["seconds"]
        print(f"  {100 * alone:6.2f} % by the router alone: {label(c)}, against {label(flat[0])}")
    return rows


def draw(cells, path):
    """Stacked bars of accelerator hours, one group a cluster."""
    bar, gap, left, top, height = 20, 6, 60, 70, 300
    groups = sorted({c["cluster"] for c in cells})
    width = max(780, left + sum((bar + gap) for _ in cells) + 30 * len(groups) + 20)
    bottom = top + height
    names = 20 + math.ceil(6.5 * max(len(label(c)) for c in cells))  # below the bars

    def hours(seconds, n):
        return seconds * n / 3600

    most = max(hours(c["seconds"], c["cluster"]) for c in cells)
    tick = 10 ** math.floor(math.log10(most))
    tick = next(t for t in (tick / 5, tick / 2, tick) if most / t <= 8)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom + names}" '
           f'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{left}" y="18" font-size="13">Accelerator hours an epoch of '
           f'{EPOCH_TOKENS:.0e} tokens, by part (simulated): {cells[0]["model"]}</text>']
    for i, (part, colour) in enumerate(zip(PARTS, COLOURS)):
        x = left + 140 * i
        out.append(f'<rect x="{x}" y="28" width="10" height="10" fill="{colour}"/>'
                   f'<text x="{x + 14}" y="37">{part}</text>')
    value = 0
    while value <= most:
        y = bottom - height * value / most
        out.append(f'<line x1="{left}" x2="{width - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        value += tick
    x = left + 10
    for n in groups:
        begin = x
        for c in (c for c in cells if c["cluster"] == n):
            y = bottom
            for part, colour in zip(PARTS, COLOURS):
                h = height * hours(c["parts"][part], n) / most
                y -= h
                out.append(f'<rect x="{x}" y="{y:.2f}" width="{bar}" height="{h:.2f}" '
                           f'fill="{colour}"><title>{label(c)}: {part} {c["parts"][part]:.0f} s'
                           f'</title></rect>')
            out.append(f'<text transform="translate({x + bar / 2 - 4},{bottom + 8}) rotate(90)">'
                       f'{label(c)}</text>')
            x += bar + gap
        out.append(f'<text x="{(begin + x) / 2}" y="{top - 8}" text-anchor="middle" '
                   f'font-weight="bold">{n}N</text>')
        x += 30
    out.append("</svg>")
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def run_pangu(add, nodes, model):
    for exchange in ("padded", "flat", "chosen"):
        for router in ("hash", "switch"):
            add(router, exchange)
    add("locmoe", "flat")
    add("locmoe", "chosen")
    # Where there are fewer experts than nodes, a node and its neighbour are trained as one node, that of
    # the expert that both are to hold a copy of.
    buddies = nodes > model["experts"]
    least = max(1, model["experts"] // nodes)  # slots a node that hold all experts
    add("hash", "chosen", slots=least)
    for router in ("rre", "locmoe"):
        add(router, "chosen", slots=least, buddies=buddies)
    if buddies:
        add("locmoe --adaptive-mu", "chosen", slots=least)


def run_fine_grained(add):
    for router in ("top_k", "resonance"):
        for exchange in ("padded", "flat", "chosen"):
            if router == "top_k" or exchange != "padded":
                add(router, exchange)
        add(router, "chosen", slots=1)


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--trainer", required=True)
    p.add_argument("--smpi-step", required=True)
    p.add_argument("--data", required=True)
    p.add_argument("--work", required=True)
    p.add_argument("--json")
    p.add_argument("--svg")
    p.add_argument("--steps", type=int, default=400, help="of each training")
    p.add_argument("--model", default="", help="PanGu or OLMoE; both if none is named")
    p.add_argument("--clusters", default="64,128,256", help="accelerators, 8 a node")
    options = p.parse_args()
    os.makedirs(options.work, exist_ok=True)
    bench = Bench(options)
    cells, rows = [], []
    for model in (pangu(), fine_grained()):
        if options.model not in model["name"]:
            continue
        print(f"\n{model['name']}; {EPOCH_TOKENS:.0e} tokens an epoch, {MICRO_BATCHES} micro-batches a "
              "step")
        for ranks in map(int, options.clusters.split(",")):
            here = []
            print_header()

            def add(*what, **how):
                here.append(dict(cell(bench, ranks // 8, model, *what, **how), model=model["name"]))
                print_cell(here[-1])

            if model["tensor_parallel"] > 1:
                rivals, target = ["hash", "switch"], 0.1268 if ranks == 256 else 0.2224
                run_pangu(add, ranks // 8, model)
            else:
                rivals, target = ["top_k"], None
                run_fine_grained(add)
            cells += here
            rows += judge(here, rivals, target)
    if options.json:
        with open(options.json, "w") as f:
            json.dump({"suite": "paper", "rows": rows, "cells": cells}, f, indent=2)
    if options.svg:
        draw([c for c in cells if c["model"] == cells[0]["model"]], options.svg)


if __name__ == "__main__":
    main()
