"""`python -m unetkit` is the same as `unetkit`."""

import sys

from unetkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
