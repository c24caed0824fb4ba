"""How far a run of the notebooks is: a bar over all cells with the time left."""

import asyncio
import shutil
import sys
import time

from tqdm import tqdm

from ..words import duration


class Progress:
    """A bar over all cells of all notebooks, with the time left; plain lines where there is no terminal.

    The time left comes from the seconds that each notebook is expected to take, scaled by the pace of this run.
    """

    # So many expected seconds must pass before this run's pace counts as much as the expectation.
    PRIOR = 20.0

    def __init__(self, results, jobs=1):
        self.number, self.jobs = len(results), min(jobs, len(results))
        self.waiting, self.running = list(results), {}  # path -> (result, when the notebook began)
        self.spent = self.expected = 0.0  # of the notebooks that passed
        columns, lines = shutil.get_terminal_size()  # 80 and 24 where a terminal (some containers) does not know it
        self.bar = tqdm(
            desc="starting",
            total=sum(result.cells for result in results),
            bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}, {elapsed} elapsed{postfix}",
            ncols=columns,
            nrows=lines,
            disable=None,  # where there is no terminal
        )
        if self.bar.disable:
            several = f"{self.number} notebook{'s' * (self.number > 1)}"
            self._say(f"{several}, about {duration(self.left())} in all")

    def start_notebook(self, result):
        """Show that a notebook begins."""
        self.waiting.remove(result)
        self.running[result.path] = result, time.perf_counter()
        self.show()
        if self.bar.disable:
            self._say(f"{result.name}: started, {result.cells} cells")

    def end_notebook(self, result):
        """Show that a notebook ended, and count its seconds towards the pace."""
        del self.running[result.path]
        if result.status == "passed":
            self.spent += result.seconds
            self.expected += result.expected
        self.show()
        if self.bar.disable:
            said = f"{result.name}: passed" if result.status == "passed" else result.reason()
            ended = self.number - len(self.waiting) - len(self.running)
            left = f", about {duration(self.left())} left" if ended < self.number else ""
            self._say(f"[{ended}/{self.number}] {said} ({duration(result.seconds)}{left})")

    def left(self):
        """Return the estimated seconds left: the places share the work, and the longest notebook is the least."""
        pace, now = (self.spent + self.PRIOR) / (self.expected + self.PRIOR), time.perf_counter()
        # A notebook that takes longer than expected is not about to end at every moment.
        rest = [max(pace * result.expected - (now - t), 0.1 * (now - t)) for result, t in self.running.values()]
        rest += [pace * result.expected for result in self.waiting]
        return max(*rest, sum(rest) / self.jobs, 0)

    @staticmethod
    def _say(line):
        print(line, file=sys.stderr, flush=True)

    async def tick(self):
        """Keep the clock of the bar going while a long cell runs."""
        while True:
            self.show()
            await asyncio.sleep(1)

    def close(self):
        """Leave the bar as it is."""
        self.bar.close()

    def show(self):
        """Bring the bar, where there is one, up to date."""
        running = [result for result, _ in self.running.values()]
        ahead = sum(result.cells for result in self.waiting)
        ahead += sum(result.cells - (result.cell or 1) + 1 for result in running)
        where = [f"{one.name}, " + (f"cell {one.cell}" if one.cell else "starting the kernel") for one in running]
        self.bar.n = self.bar.total - ahead
        self.bar.set_description_str("; ".join(where), refresh=False)
        self.bar.set_postfix_str(f"about {duration(self.left())} left", refresh=True)
