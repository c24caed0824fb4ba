"""Speed, memory and recall of `clean.duplicates`, beside the library used bare.

    python tests/benchmarks/bench_duplicates.py --sizes 10000 100000 1000000

Random texts of 5 to 15 words (a Zipf vocabulary); a tenth of them are edited copies of others. Recall is the share of
the copies at a true similarity of 0.8 or more that end up with their original. Each figure comes from a fresh process,
so that peak memory (texts and imports included) is its own. "rensa bare" is its RMinHashDeduplicator on the same
shingles.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
LETTERS = list("etaoinshrdlucmfwypvbgkqjxz")


def make_texts(size, seed=0):
    """Return texts and planted pairs: list of str (size,), int array (size // 10, 2)."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 11, size=20_000)
    words = np.array(["".join(random.choice(LETTERS, length)) for length in lengths], dtype=object)
    copies = size // 10
    counts = random.integers(5, 16, size=size - copies)
    picked = words[(random.zipf(1.2, size=counts.sum()) - 1) % len(words)]
    texts = [" ".join(part) for part in np.split(picked, np.cumsum(counts)[:-1])]
    originals = random.choice(len(texts), copies, replace=False)
    pairs = np.column_stack((originals, np.arange(len(texts), size)))
    texts += [edit(texts[original], words, random) for original in originals]
    return texts, pairs


def edit(text, words, random):
    """Return the text with one to three letters or one word changed, dropped or added."""
    if random.random() < 0.5:
        for _ in range(random.integers(1, 4)):
            place, letter = random.integers(len(text)), LETTERS[random.integers(26)]
            text = text[:place] + letter * random.integers(0, 2) + text[place + random.integers(0, 2) :]
        return text
    tokens = text.split()
    place = random.integers(len(tokens))
    tokens[place : place + random.integers(0, 2)] = [words[random.integers(len(words))]] * random.integers(0, 2)
    return " ".join(tokens)


def shingles(text, length=5):
    """Shingles as `clean.duplicates` defines them, written apart from it."""
    padded = f" {' '.join(text.lower().split())} "
    return {padded[start : start + length] for start in range(max(1, len(padded) - length + 1))}


def jaccard(first, second):
    """Shared over all, of two sets."""
    return len(first & second) / len(first | second)


def similarities(texts, pairs):
    """True similarity of each pair: (pairs, 2) -> (pairs,)."""
    return np.array([jaccard(shingles(texts[one]), shingles(texts[other])) for one, other in pairs])


def ours(texts, pairs):
    """Return seconds, and whether each planted pair was found."""
    from kpretrain import clean

    start = time.perf_counter()
    clusters = clean.duplicates(texts)
    return time.perf_counter() - start, clusters[pairs[:, 0]] == clusters[pairs[:, 1]]


def bare(texts, pairs):
    """The same with rensa's own deduplicator: a copy counts as found where it is refused as a duplicate."""
    import rensa

    start = time.perf_counter()
    deduplicator = rensa.RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True)
    entries = ((str(row), list(shingles(text))) for row, text in enumerate(texts))
    kept = np.array(deduplicator.add_pairs(entries), dtype=bool)
    return time.perf_counter() - start, ~kept[pairs[:, 1]]


def measure(name, size, queue):
    """Run one method on one size and put its figures in the queue."""
    import resource

    texts, pairs = make_texts(size)
    seconds, found = {"clean.duplicates": ours, "rensa bare": bare}[name](texts, pairs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    near = similarities(texts, pairs) >= 0.8
    recall = found[near].mean()
    queue.put(
        {"method": name, "texts": size, "seconds": seconds, "peak": peak, "recall": recall, "pairs": int(near.sum())}
    )


def main():
    """Print one line for each size and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--no-bare", action="store_true", help="leave out the library used bare")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    context, rows = multiprocessing.get_context("spawn"), []
    print(f"{os.cpu_count()} CPUs; recall of the planted pairs at similarity >= 0.8")
    print(f"{'method':<17}{'texts':>10}{'seconds':>10}{'us/text':>9}{'peak GB':>9}{'recall':>8}{'pairs':>8}")
    for size in options.sizes:
        for name in ["clean.duplicates"] + ["rensa bare"] * (not options.no_bare):
            queue = context.Queue()
            process = context.Process(target=measure, args=(name, size, queue))
            process.start()
            while process.is_alive() and queue.empty():
                process.join(0.2)
            if queue.empty():
                raise SystemExit(f"{name} on {size:,} texts ended with exit code {process.exitcode} and no figures")
            row = queue.get()
            process.join()
            rows.append({**row, "recall": float(row["recall"])})
            print(
                f"{name:<17}{size:>10,}{row['seconds']:>10.1f}{1e6 * row['seconds'] / size:>9.1f}"
                f"{row['peak'] / 1e9:>9.2f}{row['recall']:>8.4f}{row['pairs']:>8,}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
