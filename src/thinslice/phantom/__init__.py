"""Digital phantoms: a chest and upper abdomen, an edge, water; and thick slices of them."""

from thinslice.phantom.chest import Phantom, Structure, make_phantom
from thinslice.phantom.targets import make_edge_phantom, make_water_phantom
from thinslice.phantom.thicken import thicken

__all__ = ["Phantom", "Structure", "make_edge_phantom", "make_phantom", "make_water_phantom", "thicken"]
