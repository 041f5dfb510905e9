"""From the bytes of an image to stored values; compressed images are decoded in a process of their own."""
