"""The machine: outputs, temporary files, memory, paths, processors and forks."""
