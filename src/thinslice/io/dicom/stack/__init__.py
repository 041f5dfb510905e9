"""From images to one stack on a grid: series, phases, positions, gaps."""
