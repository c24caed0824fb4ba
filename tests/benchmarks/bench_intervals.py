"""How often the intervals and the verdict of `kp.compare` are right, on simulated arms whose accuracy is known.

    python tests/benchmarks/bench_intervals.py --simulations 1000

A draw's accuracy is 100 minus a gamma variable, so that it is skewed toward the ceiling, with its own spread for each
arm; its score is the share of hits among the test rows. "within" is how often the 95 % interval holds the known
difference; "false claims" how often the whole verdict names any difference among arms that are equal.
"""

import argparse
import sys
import timeit
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kpretrain.comparison import Comparison

# name -> (mean, standard deviation) of the accuracy over draws, in percent
CASES = {
    "98.5 and 97": {"pretrained": (98.5, 0.3), "scratch": (97.0, 0.8)},
    "98.5 and 97, wider": {"pretrained": (98.5, 0.5), "scratch": (97.0, 1.5)},
    "99 and 97": {"pretrained": (99.0, 0.1), "scratch": (97.0, 1.0)},
    "equal": {"pretrained": (97.0, 0.8), "scratch": (97.0, 0.8)},
    "hard: 98.5 and 97, skewed": {"pretrained": (98.5, 0.2), "scratch": (97.0, 2.0)},
}


def simulate(random, arms, *, sizes=(10,), draws=5, test_rows=10_000, runs=1, run_spread=0.0, shared=False):
    """Return a Comparison of simulated arms; all arms but the last are compared with the last.

    Parameters
    ----------
    random : numpy.random.Generator
    arms : dict of str to (float, float)
    sizes, draws, test_rows, runs
        Of the grid.
    run_spread : float
        Standard deviation, over pretraining runs, of the accuracy of all arms but the last.
    shared : bool
        The runs share their draws, and the last arm its scores: it does not depend on the run.
    """
    *pretrained, scratch = arms
    shape, cells = (runs, draws, len(sizes)), {}
    for arm, (mean, spread) in arms.items():
        error = 100 - mean
        accuracy = 100 - random.gamma((error / spread) ** 2, spread**2 / error, shape)
        if arm in pretrained:
            accuracy = accuracy + random.normal(0, run_spread, (runs, 1, 1))
        hits = random.binomial(test_rows, np.clip(accuracy, 0, 100) / 100)
        cells[arm] = 100 * (np.broadcast_to(hits[:1], shape) if shared and arm == scratch else hits) / test_rows
    run, seed, size = (axis.ravel() for axis in np.indices(shape))
    seed = seed if shared else seed + draws * run
    table = pd.DataFrame(
        {
            "arm": np.repeat(list(arms), run.size),
            "labels": np.tile(np.array(sizes)[size], len(arms)),
            "seed": np.tile(seed, len(arms)),
            "run": np.tile(run.astype(str), len(arms)),
            "score": np.concatenate([scores.ravel() for scores in cells.values()]),
        }
    )
    return Comparison(table, {arm: [scratch] for arm in pretrained}, test_rows)


def coverage(arms, simulations, seed=0, **settings):
    """Share of simulations in which the interval of the first contrast holds the known difference."""
    random, (first, *_, last) = np.random.default_rng(seed), arms.values()
    inside = 0
    for _ in range(simulations):
        row = simulate(random, arms, **settings).differences().iloc[0]
        inside += row["low"] <= first[0] - last[0] <= row["high"]
    return inside / simulations


def false_claims(simulations, seed=0, arms=4, sizes=(5, 10, 50), **settings):
    """Share of simulations in which the verdict on equal arms claims any difference."""
    random, equal = np.random.default_rng(seed), {f"arm {k}": (97.0, 0.8) for k in range(arms)}
    claims = 0
    for _ in range(simulations):
        verdict = simulate(random, equal, sizes=sizes, **settings).verdict()
        claims += ": it helps" in verdict or ": it hurts" in verdict or "; it h" in verdict
    return claims / simulations


def main():
    """Print one line for each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    print(f"{simulations:,} simulations a line")
    print(f"{'five draws of one run':<52}{'test rows':>10}{'within':>9}")
    for name, arms in CASES.items():
        for test_rows in (1_000, 10_000):
            print(f"{name:<52}{test_rows:>10,}{coverage(arms, simulations, test_rows=test_rows):>9.1%}", flush=True)
    print(f"\n{'several runs, 98.5 and 97, spread of the runs':<52}{'spread':>10}{'within':>9}")
    for runs, draws, shared in ((3, 2, False), (3, 5, False), (3, 2, True), (3, 5, True), (2, 5, True)):
        for spread in (0.1, 1.0):
            name = f"{runs} runs, {draws} draws each, {'the same' if shared else 'others in each'}"
            settings = {"runs": runs, "draws": draws, "shared": shared, "run_spread": spread}
            within = coverage(CASES["98.5 and 97"], simulations, **settings)
            print(f"{name:<52}{spread:>10}{within:>9.1%}", flush=True)
    print(f"\n{'equal arms, the whole verdict':<62}{'false claims':>14}")
    for arms, sizes, runs in ((2, (10,), 1), (4, (5, 10, 50), 1), (6, (1, 5, 10, 50, 100), 1), (4, (5, 10, 50), 3)):
        claims = false_claims(simulations, arms=arms, sizes=sizes, runs=runs, draws=5)
        print(f"{arms - 1} contrasts x {len(sizes)} sizes, {runs} runs of 5 draws{claims:>36.1%}", flush=True)
    comparison = simulate(np.random.default_rng(0), {f"arm {k}": (97.0, 0.8) for k in range(6)}, sizes=(1, 5, 10, 50))
    seconds = min(timeit.repeat(comparison.differences, number=10, repeat=10)) / 10
    print(f"\ndifferences of 5 contrasts x 4 sizes: {1e3 * seconds:.1f} ms")


if __name__ == "__main__":
    main()
