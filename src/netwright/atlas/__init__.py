"""Every layer's behaviour with every input, built on the taps of `runs`.

In come networks and inputs; out go the listing, one line a layer or function with shape, cost, behaviour and
health, and the atlas, layers × inputs with what probes believe, patterns by name, and single inputs, layers
and units. This room trains nothing and draws nothing.
"""

from netwright.atlas.attribution import METHODS
from netwright.atlas.columns import largest, small_pictures
from netwright.atlas.keeping import SUFFIX, reopen, save
from netwright.atlas.labelled import Labelled, long_table
from netwright.atlas.listing import Listing, listing, places_below, read, samples_in, spreads
from netwright.atlas.looking import Looked, Material, Wanted, glance, look_at, with_earlier

__all__ = [
    "METHODS",
    "SUFFIX",
    "Labelled",
    "Listing",
    "Looked",
    "Material",
    "Wanted",
    "glance",
    "largest",
    "listing",
    "long_table",
    "look_at",
    "places_below",
    "read",
    "reopen",
    "samples_in",
    "save",
    "small_pictures",
    "spreads",
    "with_earlier",
]
