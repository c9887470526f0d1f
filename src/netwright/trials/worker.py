"""The process that trains: `python -m netwright.trials.worker ADDRESS` takes jobs from a connection until it
closes."""

from __future__ import annotations

import os
import sys
import time
from multiprocessing import connection
from typing import Any


def main(address: str) -> None:
    """Serve jobs. What arrives is unpickled: it comes from the same user's own process, over a keyed
    connection."""
    try:
        link = connection.Client(address, authkey=bytes.fromhex(os.environ.pop("NETWRIGHT_WORKER_KEY")))
    except (OSError, EOFError):  # whoever asked for a worker is gone
        return
    import torch

    from netwright.runs import Clocks
    from netwright.trials.engine import Failure, Job, run_job
    from netwright.values import UserCodeError, UserError
    from netwright.values.warned import each_warning_once

    each_warning_once()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.set_flush_denormal(True)  # a recipe that collapses otherwise trains ten times slower
    _warm_up()
    clocks = Clocks(time.perf_counter, time.process_time)
    recipes: dict[object, Any] = {}
    while True:
        try:
            parcel, options, checkpoint = link.recv()
        except (EOFError, OSError):
            return
        try:
            base = recipes.get(parcel.key)
            if base is None:
                base = recipes[parcel.key] = _open(parcel)
            recipe = base.with_edits(*parcel.edits)
        except UserCodeError as raised:
            link.send(Failure("", "user-code", raised.message, raised.traceback))
            continue
        except UserError as wrong:
            link.send(Failure("", "user", str(wrong)))
            continue
        for item in run_job(Job(recipe, **options), clocks, checkpoint):
            link.send(item)


def _warm_up() -> None:
    """What torch sets up at its first training, done before any training is timed."""
    import torch

    layer = torch.nn.Conv2d(1, 1, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    torch.nn.functional.cross_entropy(
        layer(torch.zeros(4, 1, 8, 8)).flatten(1), torch.zeros(4).long()
    ).backward()
    optimizer.step()


def _open(parcel: Any) -> Any:
    from netwright.recipe import load
    from netwright.values import UserError

    if parcel.source is None:
        import cloudpickle

        return cloudpickle.loads(parcel.pickled)
    recipe = load(f"{parcel.source}:{parcel.name}", extensions=parcel.extensions)
    if recipe.data.parts.fingerprint != parcel.data:
        raise UserError(
            f"{parcel.source}: makes other data each time it is loaded; seed what is random in it, or save"
            " the data first"
        )
    return recipe


if __name__ == "__main__":
    main(sys.argv[1])
