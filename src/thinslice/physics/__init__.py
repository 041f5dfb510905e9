"""How a scanner makes slices: grids, the slice operator, interpolation and noise."""
