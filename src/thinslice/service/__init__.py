"""Beside an Orthanc: thick series that arrive in it are enhanced, and their thin series stored back."""
