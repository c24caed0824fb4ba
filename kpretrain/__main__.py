"""The command line: python -m kpretrain run | doctor | compare | record | results | links."""

import sys

from kpretrain.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
