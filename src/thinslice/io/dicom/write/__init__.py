"""A derived series: its attributes, its UIDs, its files."""
