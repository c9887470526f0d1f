"""How long a user waits for `netwright --help` and `import netwright`, beside a bare interpreter.

    python -m benchmarks.startup [--runs 15]

Whole processes, alternated; medians. Targets: 0.3 s for the help, 0.2 s for the import.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import netwright": [sys.executable, "-c", "import netwright"],
    "netwright --help": [sys.executable, "-m", "netwright", "--help"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.runs + 1):  # the first is a warm-up
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - began)
    bare = statistics.median(seconds["python -c pass"][1:])
    for name, values in seconds.items():
        median = statistics.median(values[1:])
        print(f"  {name:<18} {median:.3f} s   {median / bare:.1f} × a bare interpreter")


if __name__ == "__main__":
    main()
