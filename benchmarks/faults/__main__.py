"""Measure a diagnosis on recipes with planted faults and on healthy ones: `python -m benchmarks.faults`.

    python -m benchmarks.faults --part fit                      run what is not stored yet, print the table
    python -m benchmarks.faults --part fit --sample 0.1         a tenth of it
    python -m benchmarks.faults --part fit --stored             only what is stored
    python -m benchmarks.faults --part report --report --peers  also write benchmarks/results/

Results are kept by the content of the installed package (or under --name) in the cache folder and are taken
up again, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import time

from benchmarks.faults.data import PARTS, cache
from benchmarks.faults.report import lines_of, note_look, text_of, write_report
from benchmarks.faults.runner import code_of_netwright, read, run, tasks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.faults",
    )
    parser.add_argument("--part", choices=PARTS, default="fit")
    parser.add_argument("--sample", type=float, default=1.0, help="share of the recipes")
    parser.add_argument("--seed", type=int, default=0, help="of the diagnosis, and of the sample")
    parser.add_argument("--only", choices=("healthy", "faulty"))
    parser.add_argument("--healthy-seeds", type=int, default=2, help="seeds for every healthy recipe")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--device")
    parser.add_argument("--budget", help="of each diagnosis; by default what nw.diagnose takes")
    parser.add_argument("--improve-budget", default="60s")
    parser.add_argument("--name", help="name of the results; by default the content of the package")
    parser.add_argument("--stored", action="store_true", help="run nothing, read stored results")
    parser.add_argument("--report", action="store_true", help="write the dated result to benchmarks/results")
    parser.add_argument(
        "--peers", type=float, default=0.0, metavar="SHARE", help="also what other tools say of this share"
    )
    parser.add_argument(
        "--improve",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="also repair this share of the faulty recipes",
    )
    parser.add_argument("--cases", action="store_true", help="print a line for every recipe")
    options = parser.parse_args()

    chosen = tasks(options.part, options.only, options.sample, options.seed, options.healthy_seeds)
    name = options.name or code_of_netwright()
    folder = cache() / "results" / name
    found: dict[str, list] = {}
    for verb in ("diagnose", *(v for v in ("peers", "improve") if getattr(options, v))):
        wanted = chosen
        if verb == "peers":
            wanted = [t for t in chosen if t.seed == options.seed]
            wanted = wanted[: max(1, round(len(wanted) * options.peers))]
        if verb == "improve":
            faulty = [t for t in chosen if not t.healthy]
            wanted = faulty[: max(1, round(len(faulty) * options.improve))]
        budget = options.improve_budget if verb == "improve" else options.budget
        path = folder / f"{verb}-{options.part}.jsonl"
        if options.stored:
            keys = {t.key for t in wanted}
            found[verb] = [line for line in read(path) if line["key"] in keys]
            continue
        found[verb], began = [], time.perf_counter()
        for line in run(wanted, path, verb=verb, budget=budget, jobs=options.jobs, device=options.device):
            found[verb].append(line)
            _progress(verb, len(found[verb]), len(wanted), time.perf_counter() - began)
    if options.cases:
        print("\n".join(lines_of(found["diagnose"])))
    about = {
        "part": options.part,
        "date": datetime.date.today().isoformat(),
        "netwright": name,
        "budget": options.budget or "as by default",
        "seed": options.seed,
        "device": options.device or "CPU",
        "recipes": f"{len(found['diagnose'])} of {len(chosen)} runs, sample {options.sample:g}",
    }
    if options.part == "report":
        about["recipes"] += f", look {note_look(about)} at this part"
    text, document = text_of(found, about)
    print(text)
    if options.report:
        for path in write_report(text, document, options.part, about["date"]):
            print(f"written: {path}", file=sys.stderr)


def _progress(verb: str, done: int, count: int, seconds: float) -> None:
    end = "\n" if done == count else "\r"
    print(f"  {verb} {done}/{count}, {seconds:.0f} s", end=end, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
