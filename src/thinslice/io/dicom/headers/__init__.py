"""What the files of a series say about themselves; no pixel is decoded here."""
