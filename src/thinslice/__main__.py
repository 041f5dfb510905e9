"""`python -m thinslice`: the same as the command `thinslice`."""

from thinslice.cli import main

main()
