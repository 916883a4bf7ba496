"""Makes `python -m sus2bench` the same as the `sus2bench` command."""

import sys

from sus2bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
