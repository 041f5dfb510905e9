"""Ranges of HU that readers of CT tell tissues apart by, for what is learned and for what is judged."""

TISSUES = {"lung": (-1000.0, -500.0), "soft": (-50.0, 150.0), "bone": (250.0, float("inf"))}
