"""Ranges of HU: of what is learned and judged, and of the tissues that readers of CT tell apart by them."""

HU_RANGE = (-1024.0, 3071.0)  # networks are shown no others, though results keep them; figures are of these
TISSUES = {"lung": (-1000.0, -500.0), "soft": (-50.0, 150.0), "bone": (250.0, float("inf"))}
