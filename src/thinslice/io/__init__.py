"""Scans and label maps in and out; formats know nothing of the method."""
