"""The command line: python -m kpretrain run | check | compare | record | results | links."""

import sys

from kpretrain.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
