"""`python -m wtal` is `wtal`, as for `torchrun -m wtal train`."""

from wtal.cli import main

main()
