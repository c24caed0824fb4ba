"""How far a run of the notebooks is: a bar over all cells with the time left."""

import asyncio
import heapq
import os
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

    def __init__(self, plans, jobs=1):
        self.plans, self.jobs = len(plans), min(jobs, len(plans))
        self.waiting = list(plans)
        self.ended = self.cells = 0
        self.running = {}  # path -> (plan, number of the cell, when the notebook began)
        self.spent = self.expected = 0.0  # of the notebooks that passed
        self.bar = None
        if _terminal_has_room():
            self.bar = tqdm(
                desc="starting",
                total=sum(plan.result.cells for plan in plans),
                bar_format="{desc} |{bar}| {n_fmt}/{total_fmt}, {elapsed} elapsed{postfix}",
                dynamic_ncols=True,
            )
        else:
            several = f"{self.plans} notebook{'s' * (self.plans > 1)}"
            self._say(f"{several}, about {duration(self.left())} in all")

    def start_notebook(self, plan):
        """Show that a notebook begins."""
        self.waiting.remove(plan)
        self.running[plan.path] = (plan, 0, time.perf_counter())
        self._show()
        if self.bar is None:
            self._say(f"{plan.path.stem}: started, {plan.result.cells} cells")

    def start_cell(self, plan, number):
        """Show that a cell begins."""
        self.running[plan.path] = (plan, number, self.running[plan.path][2])
        self._show()

    def end_cell(self, plan):
        """Count a cell that ended."""
        self.cells += 1
        self._show()

    def end_notebook(self, plan):
        """Count a notebook that ended, and its seconds towards the pace."""
        result = plan.result
        _, number, _ = self.running.pop(plan.path)
        if result.status == "passed":
            self.spent += result.seconds
            self.expected += plan.seconds
        # Cells that were not reached are no longer ahead; the one that failed counts as done, too.
        self.cells += result.cells - number + (result.status != "passed" and number > 0)
        self.ended += 1
        if self.bar is not None:
            self._show()
            return
        said = f"{result.name}: passed" if result.status == "passed" else result.reason()
        left = f", about {duration(self.left())} left" if self.ended < self.plans else ""
        self._say(f"[{self.ended}/{self.plans}] {said} ({duration(result.seconds)}{left})")

    def left(self):
        """Return the estimated seconds left: each waiting notebook begins as soon as a place is free."""
        pace, now = (self.spent + self.PRIOR) / (self.expected + self.PRIOR), time.perf_counter()
        # A notebook that takes longer than expected is not about to end at every moment.
        free = [max(pace * plan.seconds - (now - t), 0.1 * (now - t)) for plan, _, t in self.running.values()]
        free += [0.0] * (self.jobs - len(free))
        heapq.heapify(free)
        for plan in self.waiting:
            heapq.heapreplace(free, free[0] + pace * plan.seconds)
        return max(free)

    @staticmethod
    def _say(line):
        print(line, file=sys.stderr, flush=True)

    async def tick(self):
        """Keep the clock of the bar going while a long cell runs."""
        while True:
            self._show()
            await asyncio.sleep(1)

    def close(self):
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()

    def _show(self):
        if self.bar is None:
            return
        where = [
            f"{path.stem}, cell {number}" if number else f"{path.stem}, starting the kernel"
            for path, (_, number, _) in self.running.items()
        ]
        self.bar.n = self.cells
        self.bar.set_description_str("; ".join(where), refresh=False)
        self.bar.set_postfix_str(f"about {duration(self.left())} left", refresh=True)


def _terminal_has_room():
    """Tell whether stderr is a terminal; one that does not know its size (some containers) shows no bar."""
    try:
        return sys.stderr.isatty() and min(os.get_terminal_size(sys.stderr.fileno())) > 0
    except (OSError, ValueError):
        return False
