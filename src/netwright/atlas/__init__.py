"""Every layer's behaviour, built on the taps of `runs`.

In come networks and inputs, out goes the listing: one line a layer with shape, cost, behaviour and health.
This room trains nothing.
"""

from netwright.atlas.listing import listing, places_below

__all__ = ["listing", "places_below"]
