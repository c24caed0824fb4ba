"""Chapters in JupyterLab, in a browser: does each open as it is, run in the fast profile, and show all it prints?

    python tests/nightly/browser.py [07_masked_language_model] [09_transfer_resnet]

It is run by hand: it takes the time of the notebooks' fast runs, and a minute. What is asked is what
tests/test_browser.py asks of notebook 00: no cell fails, nothing is cut, and no library's noise is shown.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1])]

NAMES = ("07_masked_language_model", "09_transfer_resnet")


def main(names):
    """Print what is wrong with each notebook; returns how many are faulty."""
    import lab

    faulty = 0
    with lab.chromium() as browser, tempfile.TemporaryDirectory() as folder:
        bets = str(Path(folder) / "bets.json")
        with lab.jupyter(Path(folder), KPRETRAIN_BETS=bets, KPRETRAIN_PROFILE="fast") as address:
            for name in names:
                start, page = time.perf_counter(), browser.new_page(viewport={"width": 1400, "height": 900})
                notebook = lab.Notebook(page, address, f"{name}.ipynb")
                found = [f"as it opens: {line}" for line in notebook.complaints()]
                notebook.run_all(3600)
                found += [f"after a run: {line}" for line in notebook.complaints()]
                faulty += bool(found)
                print(f"{name}: {time.perf_counter() - start:.0f} s, {len(found)} complaints", *found, sep="\n  ")
                notebook.shut_down()  # it holds a gigabyte
                page.close()
    return faulty


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or NAMES))
