"""What the evaluation compares with: the recipe and the networks of the paper, and linear filters."""
