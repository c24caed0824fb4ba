"""The command line: python -m kpretrain run | doctor | compare | record | results | links."""

import signal
import sys

from kpretrain.tools.cli import main

if __name__ == "__main__":
    code = main()
    if code == 130:  # all is written: a second Ctrl-C must not meet Python while it cleans up
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)
