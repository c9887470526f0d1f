"""Every layer's behaviour, built on the taps of `runs`.

In come networks and inputs, out goes the listing: one line a layer or function with shape, cost, behaviour
and health. This room trains nothing.
"""

from netwright.atlas.listing import Listing, listing, places_below, read, samples_in

__all__ = ["Listing", "listing", "places_below", "read", "samples_in"]
