"""Run the course: execute the numbered notebooks and put what they found on one page.

`run` executes every notebook from a fresh kernel, `record` does so under several seeds and stores the scores.
"""

import asyncio
import base64
import contextlib
import datetime
import heapq
import html
import importlib.metadata
import json
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, unquote

import joblib
import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from tqdm import tqdm

from .. import results as kpretrain_results
from ..paths import ROOT
from .page import render_notebook, render_page

PROFILES = ("fast", "full")
KEY_RESULT_TAG = "key-result"
STORED_RECORD_TAG = "stored-record"

# nbclient logs a line for a dead kernel and for a time-out; the summary says both better.
_LOG = logging.getLogger("kpretrain.tools.run.nbclient")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class CourseError(ValueError):
    """A mistake that the user can mend; its message says how."""


@dataclass
class Result:
    """What became of one notebook.

    Attributes
    ----------
    name, title : str
        The file's stem and its first heading.
    status : str
        "passed", "failed", "stopped" (by Ctrl-C) or "not run".
    seconds : float
        Wall time, start of the kernel included.
    cells : int
        How many code cells the notebook has.
    cell : int or None
        The code cell that failed or was stopped, counted from 1 as Jupyter's `[n]` does.
    source, error, traceback : str
        That cell's source, why it failed in one line, and the whole traceback without colours.
    figures : list of dict
        Every PNG output: `source` (a data URI), `alt`, `caption`, `width`, `height`.
    key_result, stored_record : str
        Markdown of the outputs of the cells tagged "key-result" (what this run found) and "stored-record" (what an
        earlier one found).
    executed : pathlib.Path or None
        The executed copy; an HTML page of the same name lies beside it.
    folder : pathlib.Path or None
        Where the notebook lies.
    html : str
        The HTML page, with its links as they stand in the notebook.
    """

    name: str
    title: str
    status: str = "not run"
    seconds: float = 0.0
    cells: int = 0
    cell: int | None = None
    source: str = ""
    error: str = ""
    traceback: str = ""
    figures: list = field(default_factory=list)
    key_result: str = ""
    stored_record: str = ""
    executed: Path | None = None
    folder: Path | None = None
    html: str = field(default="", repr=False)

    def reason(self):
        """Return one line that names the notebook, the cell and why it did not pass."""
        where = f" in cell {self.cell} of {self.cells}" if self.cell else ""
        return f"{self.name}: {self.status}{where}: {self.error}"


def run(notebooks=None, *, profile="fast", only=None, out="course-run", in_place=False, timeout=1800, jobs=1):
    """Execute the numbered notebooks in order, each from a fresh kernel.

    A failing notebook does not keep the others from running. Ctrl-C stops cleanly: what is done is kept.
    After each notebook its executed copy, as a notebook and as HTML, and `index.html` are written, so that a crash
    loses nothing. Each kernel has a file of bets of its own (`$KPRETRAIN_BETS`): the reader's bets are left alone.

    Parameters
    ----------
    notebooks : path-like, default=None
        The folder with `NN_*.ipynb`; None is the repository's `notebooks/`. The kernels run in it.
    profile : {"fast", "full"}, default="fast"
        Which of each notebook's two settings to run, handed over as `$KPRETRAIN_PROFILE`.
    only : str or list of str or int, default=None
        The numbers to run, such as "03,07"; None runs all.
    out : path-like, default="course-run"
        Where the executed copies and `index.html` go.
    in_place : bool, default=False
        Also write a notebook that passed back over its source.
    timeout : float, default=1800
        Seconds that one cell may take; 0 or None sets no limit.
    jobs : int, default=1
        Notebooks at a time. On two cores 2 takes less time in all, since a notebook alone leaves a core idle for much
        of its time; but the seconds that each one shows are longer then.

    Returns
    -------
    results : list of Result
        One for each chosen notebook, in order.

    Raises
    ------
    CourseError
        If the folder, a number or the profile does not exist, or `jobs` is below 1.
    """
    if jobs < 1:
        raise CourseError(f"--jobs is {jobs}; at least one notebook runs at a time.")
    if profile not in PROFILES:
        raise CourseError(f"There is no profile {profile!r}; choose one of {', '.join(PROFILES)}.")
    _refuse_running_loop()
    paths = _find(notebooks, only)
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    plans = [_plan(path, out, profile, jobs) for path in paths]
    results = [plan.result for plan in plans]
    progress = _Progress(plans, jobs)
    started = time.perf_counter()
    waiting = iter(plans)

    async def work():
        for plan in waiting:  # shared by all workers: each plan is taken once
            progress.start_notebook(plan)
            environment = _environment(profile, Path(bets) / f"{plan.path.stem}.json")
            await _run_one(plan, out, {"profile": profile, "jobs": jobs}, environment, in_place, timeout, progress)
            progress.end_notebook(plan)
            _write_index(results, out, profile, time.perf_counter() - started)
            if plan.result.status == "stopped":
                break

    try:
        with _variables(**_shared_cores(jobs)), tempfile.TemporaryDirectory() as bets:
            asyncio.run(_side_by_side([work() for _ in range(jobs)], progress))
    except KeyboardInterrupt:
        pass  # what is done stays, the rest is "not run"
    finally:
        progress.close()
    index = _write_index(results, out, profile, time.perf_counter() - started)
    print(_summary(results))
    print(f"\nThe page: {index}")
    return results


def record(only, seeds, *, profile="full", out="course-run", in_place=False):
    """Run notebooks once for each seed and pool the records that they save into `data/results`.

    A cell may take as long as it needs: some train for an hour.

    Parameters
    ----------
    only : str
        Their numbers, as in `run`.
    seeds : list of int
        Handed over as `$KPRETRAIN_SEED`.
    profile, out, in_place
        As in `run`.

    Returns
    -------
    int
        The exit code: that of the first run that did not pass, and then nothing is stored; else 0.

    Raises
    ------
    CourseError
        If a notebook saves no record.
    ValueError
        If the runs differ in anything but their seed.
    """
    with tempfile.TemporaryDirectory() as folder, _variables(KPRETRAIN_RESULTS=folder):
        for seed in seeds:
            with _variables(KPRETRAIN_SEED=str(seed)):
                code = exit_code(run(profile=profile, only=only, out=out, in_place=in_place, timeout=0))
            if code:
                return code
        for path in _find(None, only):
            saved = [Path(folder) / f"{path.stem}-seed{seed}.json" for seed in seeds]
            if not all(file.is_file() for file in saved):
                raise CourseError(f"{path.name} saves no record; it should call kp.results.save.")
            command = f"python -m kpretrain record {path.stem[:2]} --seeds {','.join(map(str, seeds))}"
            records = [json.loads(file.read_text(encoding="utf8")) for file in saved]
            target = kpretrain_results.FOLDER / f"{path.stem}.json"
            _write(target, json.dumps(kpretrain_results.merge(records, command), indent=1) + "\n")
            print(f"Stored: {target.relative_to(ROOT)}")
    return 0


@contextlib.contextmanager
def _variables(**values):
    """Set environment variables, for the kernels, while the block runs."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _shared_cores(jobs):
    """Environment variables: the linear algebra of kernels side by side, all cores each, is many times slower."""
    if jobs == 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, joblib.cpu_count() // jobs))}


def exit_code(results):
    """Return 0 if all notebooks passed, 130 if Ctrl-C stopped the run, 1 if one failed."""
    statuses = {result.status for result in results}
    if statuses & {"stopped", "not run"}:
        return 130
    return 1 if "failed" in statuses else 0


# Find and plan


def _refuse_running_loop():
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise CourseError("The course can't be run from inside a notebook. In a terminal: python -m kpretrain run")


def _find(folder, only):
    """Return the chosen notebooks' paths, sorted by number."""
    folder = (ROOT / "notebooks") if folder is None else Path(folder).resolve()
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise CourseError(
            f"There are no notebooks NN_*.ipynb in {folder}. Run the command in a clone of the repository, "
            "or name the folder with --notebooks."
        )
    if only is None:
        return found
    wanted = only.split(",") if isinstance(only, str) else only if isinstance(only, (list, tuple)) else [only]
    wanted = [str(number).strip().zfill(2) for number in wanted if str(number).strip()]
    existing = [path.name[:2] for path in found]
    unknown = [number for number in wanted if number not in existing]
    if unknown or not wanted:
        raise CourseError(f"There is no notebook {', '.join(unknown) or repr(only)}; there are {', '.join(existing)}.")
    return [path for path in found if path.name[:2] in wanted]


@dataclass
class _Plan:
    """A notebook about to run, and how many seconds it is expected to take."""

    path: Path
    notebook: nbformat.NotebookNode | None
    seconds: float
    result: Result


# Two notebooks that share two cores take so much longer each than one alone.
_SIDE_BY_SIDE = 1.4


def _plan(path, out, profile, jobs=1):
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # whatever is wrong with the file, the other notebooks can run
        reason = f"the file can't be read: {type(error).__name__}: {_first_line(str(error))}"
        return _Plan(path, None, 0.0, Result(path.stem, path.stem, error=reason))
    cells = _code_cells(notebook)
    title = next((heading for cell in notebook.cells if (heading := _heading(cell))), path.stem)
    seconds = _earlier_seconds(out / path.name, profile, jobs)
    if seconds is None:
        seconds = _usual_seconds(path, profile) or float(len(cells))
        seconds *= _SIDE_BY_SIDE if jobs > 1 else 1
    return _Plan(path, notebook, seconds, Result(path.stem, title, cells=len(cells), folder=path.parent))


def _earlier_seconds(copy, profile, jobs):
    """Seconds of this machine's own earlier run in the same profile, or None."""
    try:
        facts = json.loads(copy.read_text(encoding="utf-8"))["metadata"]["kpretrain"]
        return float(facts["seconds"]) if (facts["profile"], facts["jobs"]) == (profile, jobs) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _usual_seconds(path, profile):
    """Seconds from the table in the notebooks' README.md, whose last two columns are fast and full, or None."""
    readme = path.with_name("README.md")
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    row = re.search(rf"^\| \[{path.stem}\].*\| *(\d+) (s|min) *\| *(\d+) (s|min) *\|$", text, flags=re.MULTILINE)
    if row is None:
        return None
    amount, unit = row.groups()[:2] if profile == "fast" else row.groups()[2:]
    return float(amount) * {"s": 1, "min": 60}[unit]


def _code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _heading(cell):
    """Return the first heading of a markdown cell as plain text, or None."""
    if cell.cell_type != "markdown":
        return None
    match = re.search(r"^#+\s+(.+)$", cell.source, flags=re.MULTILINE)
    return re.sub(r"[*`]", "", match.group(1)).strip() if match else None


# Execute


class _ThisPython(KernelSpecManager):
    """The kernel is the Python that runs the command, whatever kernels the user has registered."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(argv=make_ipkernel_cmd(), display_name="Python 3", language="python")


async def _side_by_side(workers, progress):
    """Await all workers while the clock of the progress bar goes on; Ctrl-C reaches each of them."""
    ticker = asyncio.ensure_future(progress.tick())
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    finally:
        ticker.cancel()


async def _run_one(plan, out, facts, environment, in_place, timeout, progress):
    """Execute one notebook, fill in its result, and write the executed copy, with the facts in its metadata."""
    result, notebook = plan.result, plan.notebook
    if notebook is None:
        result.status = "failed"
        return
    _clear(notebook)
    notebook.metadata["kpretrain"] = facts
    started = time.perf_counter()
    await _execute(plan, environment, timeout, progress)
    result.seconds = time.perf_counter() - started
    if result.status == "passed":
        notebook.metadata["kpretrain"]["seconds"] = round(result.seconds, 1)
    _drop_widgets(notebook)
    result.figures = _figures(notebook, result.title)
    result.key_result = _tagged(notebook, KEY_RESULT_TAG)
    result.stored_record = _tagged(notebook, STORED_RECORD_TAG)
    result.html = _as_html(notebook, result.title)
    text = nbformat.writes(notebook) + "\n"
    result.executed = _write(out / plan.path.name, text)
    if in_place and result.status == "passed":
        _write(plan.path, text)


async def _execute(plan, environment, timeout, progress):
    result = plan.result
    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    client = NotebookClient(
        plan.notebook,
        km=manager,
        timeout=timeout or None,
        startup_timeout=120,
        record_timing=False,
        log=_LOG,
        resources={"metadata": {"path": str(plan.path.parent)}},
    )
    # What the kernel's process itself writes (TensorFlow's start-up lines) would tear the progress bar, and
    # explains a kernel that died.
    log = tempfile.TemporaryFile()
    try:
        await client.async_start_new_kernel(env=environment, stdout=log, stderr=log)
        await client.async_start_new_kernel_client()
        await _execute_cells(client, plan, progress)
        result.status = "passed"
    except (Exception, asyncio.CancelledError) as error:
        # On Ctrl-C asyncio cancels this task, and nbclient may report that as a dead kernel.
        if asyncio.current_task().cancelling():
            result.status, result.error = "stopped", "Ctrl-C"
        elif isinstance(error, asyncio.CancelledError):
            raise
        else:
            result.status = "failed"
            result.error, result.traceback = await _explain(error, manager, timeout, log)
            _leave_trace(plan, error)
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
        log.close()


async def _execute_cells(client, plan, progress):
    number = 0
    for index, cell in enumerate(plan.notebook.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        number += 1
        plan.result.cell, plan.result.source = number, cell.source
        progress.start_cell(plan, number)
        started = time.perf_counter()
        await client.async_execute_cell(cell, index, execution_count=number)
        cell.metadata["kpretrain"] = {"seconds": round(time.perf_counter() - started, 2)}
        progress.end_cell(plan)
    plan.result.cell, plan.result.source = None, ""


async def _explain(error, manager, timeout, log):
    """Return why a notebook failed, in one line, and the traceback."""
    if isinstance(error, CellExecutionError):
        message = _shorten(_first_line(_plain(error.evalue)), 300)
        return f"{error.ename}: {message}" if message else error.ename, _plain(error.traceback)
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than the {timeout:g} s allowed (--timeout sets the limit)", ""
    if isinstance(error, DeadKernelError):
        code = await manager.provisioner.poll() if manager.provisioner else None
        hint = "; killed, most likely because memory ran out" if code == -9 else ""
        return f"the kernel died (exit code {code}{hint})", _tail(log)
    return f"{type(error).__name__}: {_first_line(str(error))}", _plain(str(error))


def _tail(log, lines=20):
    """Return the last lines that the kernel's process wrote, without the Jupyter kernel's own notices."""
    log.seek(0)
    written = _plain(log.read().decode("utf-8", errors="replace")).splitlines()
    return "\n".join([line for line in written if line.strip() and "[IPKernelApp]" not in line][-lines:])


def _leave_trace(plan, error):
    """Show in the executed copy, too, why a cell ended that raised nothing itself."""
    if isinstance(error, CellExecutionError) or not plan.result.cell:
        return
    cell = _code_cells(plan.notebook)[plan.result.cell - 1]
    reason = plan.result.error
    cell.outputs.append(nbformat.v4.new_output("error", ename=type(error).__name__, evalue=reason, traceback=[reason]))


def _environment(profile, bets):
    """Return the kernel's environment; paths are absolute, since it runs in the notebooks' folder."""
    environment = dict(os.environ, KPRETRAIN_PROFILE=profile, KPRETRAIN_BETS=str(bets))
    for name in ("KPRETRAIN_DATA", "KPRETRAIN_CACHE"):
        if environment.get(name):
            environment[name] = str(Path(environment[name]).expanduser().resolve())
    # A back end chosen for scripts (Agg on a server) would keep the figures out of the notebook.
    environment.pop("MPLBACKEND", None)
    return environment


# The notebook's content


def _clear(notebook):
    """Take out the outputs of earlier runs, so that a cell that is not reached shows none, and all that is volatile."""
    notebook.metadata.pop("widgets", None)
    for number, cell in enumerate(notebook.cells):
        if notebook.nbformat_minor >= 5:
            cell.setdefault("id", f"cell-{number}")
        for volatile in ("execution", "kpretrain", "ExecuteTime"):
            cell.metadata.pop(volatile, None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def _drop_widgets(notebook):
    """Take out views of widgets: without their state they show nothing."""
    for output in _outputs(notebook.cells):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)


def _outputs(cells):
    return [output for cell in cells for output in cell.get("outputs", [])]


def _figures(notebook, title):
    """Return every PNG output as a dict for the page; the alternative text names the section it stands in."""
    figures, heading = [], title
    for cell in notebook.cells:
        heading = _heading(cell) or heading
        for output in _outputs([cell]):
            content = re.sub(r"\s", "", output.get("data", {}).get("image/png", ""))
            size = _png_size(content)
            if size is None:
                continue
            about = output.get("metadata", {}).get("image/png", {})
            alt = about.get("alt") or f"Figure {len(figures) + 1} of {title}: {heading}"
            figures.append(
                {
                    "source": f"data:image/png;base64,{content}",
                    "alt": alt,
                    "caption": about.get("alt") or heading,
                    "width": size[0],
                    "height": size[1],
                }
            )
    return figures


def _png_size(content):
    """Return width and height of a base64 PNG, or None if it is none."""
    try:
        start = base64.b64decode(content[:64])
    except ValueError:
        return None
    if len(start) < 24 or not start.startswith(_PNG_SIGNATURE):
        return None
    return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")


def _tagged(notebook, tag):
    """Return the markdown that the cells with a tag left; plain text stands in where there is none."""
    cells = [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]
    parts = []
    for output in _outputs(cells):
        data = output.get("data", {})
        if "text/markdown" in data:
            parts.append(data["text/markdown"].strip())
        elif "image/png" not in data and (text := data.get("text/plain") or output.get("text")):
            # What has HTML is a table of pandas: its columns must stay in line.
            kind = "table" if "text/html" in data else ""
            text = _plain(text).rstrip().lstrip("\n")
            parts.append(f"```{kind}\n{text}\n```")
    return "\n\n".join(parts)


def _plain(text):
    """Return the text without terminal colours."""
    return _ANSI.sub("", text)


def _first_line(text):
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _write(path, text):
    """Write a file in one step: a reader sees the old or the new one, never a half."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


# Progress


class _Progress:
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
            self._say(f"{several}, about {duration(round(self.left()))} in all")

    def start_notebook(self, plan):
        self.waiting.remove(plan)
        self.running[plan.path] = (plan, 0, time.perf_counter())
        self._show()
        if self.bar is None:
            self._say(f"{plan.path.stem}: started, {plan.result.cells} cells")

    def start_cell(self, plan, number):
        self.running[plan.path] = (plan, number, self.running[plan.path][2])
        self._show()

    def end_cell(self, plan):
        self.cells += 1
        self._show()

    def end_notebook(self, plan):
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
        left = f", about {duration(round(self.left()))} left" if self.ended < self.plans else ""
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
        self.bar.set_postfix_str(f"about {duration(round(self.left()))} left", refresh=True)


def _terminal_has_room():
    """Tell whether stderr is a terminal; one that does not know its size (some containers) shows no bar."""
    try:
        return sys.stderr.isatty() and min(os.get_terminal_size(sys.stderr.fileno())) > 0
    except (OSError, ValueError):
        return False


def duration(seconds):
    """Return seconds as text that is easy to read: "8.4 s", "12 s", "3 min 05 s", "1 h 02 min"."""
    if seconds < 9.95 and not isinstance(seconds, int):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _summary(results):
    """Return the closing table as text, and one line for each notebook that did not pass."""
    header = ("notebook", "status", "time", "figures", "key result of this run")
    width = max(shutil.get_terminal_size((120, 20)).columns, 60)
    rows = [
        (
            result.name,
            result.status,
            "" if result.status == "not run" else duration(result.seconds),
            str(len(result.figures)),
            re.sub(r"[*`]", "", _first_line(re.sub(r"```(table)?", "", result.key_result))),
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(4)]
    room = max(width - sum(widths) - 8, 20)
    lines = [
        "",
        *("  ".join([*map(str.ljust, row[:4], widths), _shorten(row[4], room)]).rstrip() for row in [header, *rows]),
    ]
    lines.insert(2, "-" * min(max(map(len, lines)), width))
    for result in results:
        if result.status in ("failed", "stopped"):
            lines += ["", result.reason()]
            lines += [f"    {line}" for line in result.source.splitlines()[:3]]
    return "\n".join(lines)


def _shorten(text, room):
    return text if len(text) <= room else text[: room - 3].rstrip() + "..."


# The page


@cache
def _exporter():
    # The highlighted code is escaped already; to parse it once more takes most of the time.
    return HTMLExporter(template_name="basic", filters={"clean_html": lambda code: code})


def _as_html(notebook, title):
    """Return a notebook as a page that loads nothing from the network; its formulas stay as they were written."""
    body = _exporter().from_notebook_node(notebook)[0]
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL | re.IGNORECASE)
    # A badge lies on a server.
    body = re.sub(r'<img\b[^>]*\balt="([^"]*)"[^>]*\bsrc="https?:[^>]*>', r"\1", body)
    return render_notebook(title, body)


def _write_copies(results, out):
    """Write the HTML copies, whose links lead to the copies that there are, or else to the notebooks' folder."""
    fresh = {result.executed.name for result in results if result.html}

    def lead(match, folder):
        name, mark, place = html.unescape(match[2]).partition("#")
        name, target = unquote(name), folder / unquote(name)
        copy = f"{target.stem}.html"
        if target.suffix == ".ipynb" and target.parent == folder and (name in fresh or (out / copy).is_file()):
            address = quote(copy)
        elif target.exists():
            # Two drives of Windows have no relative path between them.
            same = target.drive == out.drive
            address = quote(Path(os.path.relpath(target, out)).as_posix()) if same else target.as_uri()
        else:
            return match[0]
        return f'{match[1]}="{html.escape(address + mark + place)}"'

    for result in results:
        if result.html:
            relative = r'\b(href|src)="(?![a-zA-Z][\w+.-]*:|[#/])([^"]+)"'
            text = re.sub(relative, partial(lead, folder=result.folder), result.html)
            _write(result.executed.with_suffix(".html"), text)


def _write_index(results, out, profile, seconds):
    _write_copies(results, out)
    counts = [
        f"{sum(result.status == status for result in results)} {status}"
        for status in ("passed", "failed", "stopped", "not run")
        if any(result.status == status for result in results)
    ]
    facts = [
        ("Notebooks", ", ".join(counts)),
        ("Total time", duration(seconds)),
        ("Profile", profile),
        ("Date", datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("Versions", ", ".join(_versions())),
        ("Machine", f"{_cores()} cores, {platform.system()} {platform.machine()}"),
    ]
    page = render_page("kpretrain: the course, executed", facts, [_card(result) for result in results])
    return _write(out / "index.html", page)


def _links(result):
    if result.executed is None:
        return []
    name = result.executed.name
    return [("The executed notebook", result.executed.with_suffix(".html").name), (f"as {name}", name)]


def _card(result):
    error = None
    if result.status in ("failed", "stopped"):
        source = result.source.splitlines()
        shown = "\n".join(source[:6] + (["..."] if len(source) > 6 else []))
        where = f"Cell {result.cell} of {result.cells}" if result.cell else "Before the first cell"
        error = {"summary": f"{where}: {result.error}", "source": shown, "traceback": result.traceback}
    return {
        "id": result.name,
        "title": result.title,
        "status": result.status,
        "note": "" if result.status == "not run" else duration(result.seconds),
        "links": _links(result),
        "heading": "Key result of this run",
        "markdown": result.key_result,
        "stored": result.stored_record,
        "figures": result.figures,
        "error": error,
    }


def _versions():
    versions = [f"Python {platform.python_version()}"]
    for label, package in (("Keras", "keras"), ("TensorFlow", "tensorflow")):
        try:
            versions.append(f"{label} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{label} not installed")
    return versions


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
