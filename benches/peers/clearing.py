"""Clearing of flexibility markets against HiGHS, in the same run, on one thread, CPU time.

For each row of the table the same case goes to `gridflex bench clear` and to HiGHS, in turn, and medians count.
HiGHS solves the model of `../shared/peers/market/bench_highs.py`. A row whose goal is missed is marked; `--check`
ends with 1 then.

    clearing.py                             all rows but the slow one
    clearing.py --rows few,lp --rounds 3
    clearing.py --rows thousand --highs-seconds 300
    clearing.py --rows thousand --stored    HiGHS's results of earlier runs instead of running it again

The results of HiGHS at 1,000 offers are kept in highs_thousand.json beside this script, with the seconds they took.
"""

import argparse
import json
import statistics
import subprocess
import sys

from places import CASES, HERE, PEERS, REPOSITORY, use_environment

use_environment("numpy", "scipy", "highspy")

TOOLS = REPOSITORY.parent / "shared" / "peers" / "market"
STORED = HERE / "highs_thousand.json"
# Offers, mix of the generator (None: mixed), seeds, HiGHS: mode, gap, seconds.
ROWS = {
    "few": dict(offers=200, mix=None, seeds=(1, 2, 3), highs=("milp", 1e-4, 120)),
    "lp": dict(offers=10_000, mix="1,0,0", seeds=(1, 2), highs=("lp", 0, 120)),
    "ten": dict(offers=10_000, mix=None, seeds=(1, 2, 3), highs=("milp", 1e-2, 300)),
    "hundred": dict(offers=100_000, mix=None, seeds=(1,), highs=None),
    "thousand": dict(offers=1_000, mix=None, seeds=(1, 2), highs=("milp", 1e-4, 300)),
}


def tool(name):
    path = TOOLS / name
    if not path.exists():
        sys.exit(f"peers: MISSING {path}\npeers: generator and HiGHS driver lie beside the repository, in ../shared")
    return path


def case(offers, seed, mix):
    path = CASES / "market" / f"{'mixed' if mix is None else 'amounts'}-{offers}-{seed}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(tool("flexcase.py")), str(offers), str(seed), str(path)]
        subprocess.run(command + ([mix] if mix else []), check=True)
    return path


def pinned(command, core):
    prefix = ["taskset", "-c", str(core)] if core is not None else []
    done = subprocess.run(prefix + command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"peers: {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(arguments, path):
    # One cold run per call, so that both programs take turns.
    command = [arguments.binary, "bench", "clear", str(path), "--repeat", "1", "--json"]
    return pinned(command, arguments.core)


def highs(arguments, offers, seed, mode, gap, seconds):
    command = [sys.executable, str(tool("bench_highs.py")), str(offers), str(seed), mode, str(gap), str(seconds)]
    return pinned(command, arguments.core)


def median(results, field):
    return statistics.median(result[field] for result in results)


def measure(arguments, name, seed):
    """One line of the table: figures of both programs."""
    row = ROWS[name]
    path = case(row["offers"], seed, row["mix"])
    # What takes HiGHS minutes is run once.
    rounds = 1 if name == "thousand" else arguments.rounds
    mine, theirs = [], []
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    for _ in range(rounds):
        mine.append(ours(arguments, path))
        if name == "thousand" and arguments.stored:
            if str(seed) not in stored:
                sys.exit(f"peers: no stored result of HiGHS for seed {seed}")
            theirs.append(stored[str(seed)])
        elif row["highs"]:
            mode, gap, seconds = row["highs"]
            seconds = arguments.highs_seconds if name == "thousand" else seconds
            theirs.append(highs(arguments, row["offers"], seed, mode, gap, seconds))
    if name == "thousand" and not arguments.stored:
        keep = {key: theirs[0][key] for key in ("welfare", "bound", "cpu_s", "status")}
        stored[str(seed)] = keep | {"seconds": arguments.highs_seconds}
        STORED.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
    line = dict(
        row=name, seed=seed, offers=row["offers"], ours_s=median(mine, "cold_ms") / 1e3,
        verify_s=median(mine, "verify_ms") / 1e3, warm_ms=median(mine, "warm_ms_p50"),
        welfare=mine[0]["welfare"], gap=mine[0]["gap"], claimed_gap=mine[0].get("claimed_gap"),
        over_greedy=mine[0]["over_greedy"], overloaded=mine[0]["overloaded"], beyond=mine[0]["overloaded_beyond"],
    )
    if theirs:
        line |= dict(highs_s=median(theirs, "cpu_s"), highs_welfare=theirs[0]["welfare"],
                     highs_bound=theirs[0].get("bound"))
    return line


def judge(line):
    """The goals of a line: (what, whether it is met)."""
    name, goals = line["row"], []
    ratio = line["ours_s"] / line["highs_s"] if "highs_s" in line else None
    share = line["welfare"] / line["highs_welfare"] if "highs_s" in line else None
    if name == "few":
        gap = min(line["gap"], line["claimed_gap"] if line["claimed_gap"] is not None else 1.0)
        goals = [("optimal to 1e-4 (claimed)", gap <= 1e-4), ("<= HiGHS's time", ratio <= 1)]
    elif name == "lp":
        goals = [("within 2e-3 of HiGHS", abs(1 - share) <= 2e-3), ("<= HiGHS's time", ratio <= 1)]
    elif name == "ten":
        goals = [("gap <= 1.0 %", line["gap"] <= 0.01), ("<= 1/15 of HiGHS's time", ratio <= 1 / 15),
                 (">= 1.30 x greedy", line["over_greedy"] >= 1.3), ("warm <= 20 ms", line["warm_ms"] <= 20),
                 ("warm <= 1/50 of cold", line["warm_ms"] <= line["ours_s"] * 20)]
    elif name == "hundred":
        goals = [("gap <= 0.3 %", line["gap"] <= 0.003), ("<= 10 s", line["ours_s"] <= 10)]
    elif name == "thousand":
        goals = [(">= 99 % of HiGHS", share >= 0.99), ("<= 1 % of its time", ratio <= 0.01),
                 ("certified <= 6 %", line["gap"] <= 0.06)]
    if name in ("ten", "hundred"):
        goals.append(("verified in <= 1/10", line["verify_s"] <= line["ours_s"] / 10))
    return goals + [("no overload beyond priced slack", line["beyond"] == 0)]


def show(line):
    peer = ""
    if "highs_s" in line:
        peer = f" | HiGHS {line['highs_s']:8.2f} s, welfare {line['highs_welfare']:.4f}"
        peer += f" | time x {line['ours_s'] / line['highs_s']:.4f}, welfare x {line['welfare'] / line['highs_welfare']:.4f}"
    claimed = "" if line["claimed_gap"] is None else f" (claimed {line['claimed_gap'] * 100:.4f} %)"
    print(f"{line['row']} {line['offers']} offers, seed {line['seed']}: {line['ours_s']:.3f} s, welfare {line['welfare']:.4f}, "
          f"gap {line['gap'] * 100:.4f} %{claimed}, {line['over_greedy']:.3f} x greedy, verify {line['verify_s']:.3f} s, "
          f"warm {line['warm_ms']:.2f} ms, overloaded {line['overloaded']} ({line['beyond']} beyond priced slack){peer}")
    for what, met in line["goals"]:
        print(f"    {'met   ' if met else 'MISSED'} {what}")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="few,lp,ten,hundred", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seeds", help="instead of the rows' own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--binary", default=str(REPOSITORY / "target" / "release" / "gridflex"))
    parser.add_argument("--core", type=int, default=0, help="the processor both run on; -1: any")
    parser.add_argument("--highs-seconds", type=float, default=300, help="HiGHS's limit in the row `thousand`")
    parser.add_argument("--stored", action="store_true", help="HiGHS's stored results in the row `thousand`")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="end with 1 when a goal is missed")
    arguments = parser.parse_args()
    arguments.core = None if arguments.core < 0 else arguments.core
    PEERS.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in arguments.rows.split(","):
        if name not in ROWS:
            sys.exit(f"peers: unknown row {name}; known are {', '.join(ROWS)}")
        seeds = [int(seed) for seed in arguments.seeds.split(",")] if arguments.seeds else ROWS[name]["seeds"]
        for seed in seeds:
            line = measure(arguments, name, seed)
            line["goals"] = judge(line)
            lines.append(line)
            if not arguments.json:
                show(line)
    if arguments.json:
        print(json.dumps(lines, indent=1))
    missed = sum(not met for line in lines for _, met in line["goals"])
    if not arguments.json:
        print(f"{missed} goals missed")
    sys.exit(1 if arguments.check and missed else 0)


if __name__ == "__main__":
    main()
