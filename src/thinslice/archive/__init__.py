"""A folder of scans: found, planned, handed out to workers by Dask, and accounted for in a manifest."""
