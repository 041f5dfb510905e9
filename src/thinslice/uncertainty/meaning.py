"""What an uncertainty says, the same everywhere."""

MEANING = (
    "The root-mean-square error to be expected at this voxel, against what the scanner would have measured there, "
    "noise included."
)
