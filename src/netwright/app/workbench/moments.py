"""What the pinned inputs are in the network after every epoch that is kept, looked at beside the training."""

from __future__ import annotations

from netwright import values
from netwright.app.atlas import Pinned
from netwright.app.workbench.keeping import Keeping, read
from netwright.recipe import Recipe, seeded
from netwright.values import UserError


class Moments:
    """Makes the moments that are missing from the states that are kept. `key` is that of the run."""

    def __init__(self, recipe: Recipe, pinned: Pinned, keeping: Keeping, key: str) -> None:
        self._pinned, self._keeping, self._key = pinned, keeping, key
        self._network = recipe.build(0).to(pinned.device)
        self._given_up = False

    def next(self) -> values.Event | None:
        """The newest, made and kept where it is missing, so that they come in their order; else `None`."""
        kept = self._keeping.kept()
        epoch = kept[-1] if kept else 0
        if not epoch or self._given_up or self._keeping.moment(epoch).exists():
            return None
        state = read(self._keeping.of_epoch(epoch))
        if state is None:
            return None
        try:
            self._network.load_state_dict(state["network"])
            with seeded(0, "moment"):
                seen = self._pinned.glance(self._network, f"epoch {epoch}")
            return values.MomentKept(self._key, epoch, self._keeping.keep_moment(seen, epoch))
        except (UserError, RuntimeError, OSError) as failed:
            self._given_up = True
            said = str(failed).partition("\n")[0]
            return values.Note(f"{said}; the map of the inputs stays as it is")
