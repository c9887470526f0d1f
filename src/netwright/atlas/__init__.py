"""Every layer's behaviour with every input, built on the taps of `runs`.

In come networks and inputs; out go the listing, one line a layer with shape, cost, behaviour and health, and
the atlas, layers × inputs with what probes believe, patterns by name, and single inputs, layers and units.
This room trains nothing and draws nothing.
"""

from netwright.atlas.attribution import METHODS
from netwright.atlas.keeping import SUFFIX, reopen, save
from netwright.atlas.listing import listing, places_below
from netwright.atlas.looking import Looked, Material, Wanted, glance, look_at, with_earlier

__all__ = [
    "METHODS",
    "SUFFIX",
    "Looked",
    "Material",
    "Wanted",
    "glance",
    "listing",
    "look_at",
    "places_below",
    "reopen",
    "save",
    "with_earlier",
]
