"""What a seed may be."""

MOST_SEED = (1 << 63) - 1  # numpy takes more, torch does not
