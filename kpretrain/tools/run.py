"""Run the notebooks: plan them, execute each from a fresh kernel, stop cleanly at Ctrl-C, keep to time limits."""

import asyncio
import contextlib
import json
import logging
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from ..paths import ROOT
from .progress import Progress
from .report import (
    Result,
    clear,
    closing_table,
    code_cells,
    first_heading,
    first_line,
    plain,
    read_outputs,
    shorten,
    write,
    write_index,
)

PROFILES = ("fast", "full")

# nbclient logs a line for a dead kernel and for a time-out; the summary says both better.
_LOG = logging.getLogger("kpretrain.tools.run.nbclient")
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


class CourseError(ValueError):
    """A mistake that the user can mend; its message says how."""


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
    paths = find(notebooks, only)
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    plans = [_plan(path, out, profile, jobs) for path in paths]
    results = [plan.result for plan in plans]
    progress = Progress(plans, jobs)
    started = time.perf_counter()
    waiting = iter(plans)

    async def work():
        for plan in waiting:  # shared by all workers: each plan is taken once
            progress.start_notebook(plan)
            environment = _environment(profile, Path(bets) / f"{plan.path.stem}.json")
            await _run_one(plan, out, {"profile": profile, "jobs": jobs}, environment, in_place, timeout, progress)
            progress.end_notebook(plan)
            write_index(results, out, profile, time.perf_counter() - started)
            if plan.result.status == "stopped":
                break

    try:
        with variables(**_shared_cores(jobs)), tempfile.TemporaryDirectory() as bets:
            asyncio.run(_side_by_side([work() for _ in range(jobs)], progress))
    except KeyboardInterrupt:
        pass  # what is done stays, the rest is "not run"
    finally:
        progress.close()
    index = write_index(results, out, profile, time.perf_counter() - started)
    print(closing_table(results))
    print(f"\nThe page: {index}")
    return results


@contextlib.contextmanager
def variables(**values):
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


def find(folder, only):
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
        reason = f"the file can't be read: {type(error).__name__}: {first_line(str(error))}"
        return _Plan(path, None, 0.0, Result(path.stem, path.stem, error=reason))
    cells = code_cells(notebook)
    title = next((heading for cell in notebook.cells if (heading := first_heading(cell))), path.stem)
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
    clear(notebook)
    notebook.metadata["kpretrain"] = facts
    started = time.perf_counter()
    await _execute(plan, environment, timeout, progress)
    result.seconds = time.perf_counter() - started
    if result.status == "passed":
        notebook.metadata["kpretrain"]["seconds"] = round(result.seconds, 1)
    read_outputs(notebook, result)
    text = nbformat.writes(notebook) + "\n"
    result.executed = write(out / plan.path.name, text)
    if in_place and result.status == "passed":
        write(plan.path, text)


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
        message = shorten(first_line(plain(error.evalue)), 300)
        return f"{error.ename}: {message}" if message else error.ename, plain(error.traceback)
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than the {timeout:g} s allowed (--timeout sets the limit)", ""
    if isinstance(error, DeadKernelError):
        code = await manager.provisioner.poll() if manager.provisioner else None
        hint = "; killed, most likely because memory ran out" if code == -9 else ""
        return f"the kernel died (exit code {code}{hint})", _tail(log)
    return f"{type(error).__name__}: {first_line(str(error))}", plain(str(error))


def _tail(log, lines=20):
    """Return the last lines that the kernel's process wrote, without the Jupyter kernel's own notices."""
    log.seek(0)
    written = plain(log.read().decode("utf-8", errors="replace")).splitlines()
    return "\n".join([line for line in written if line.strip() and "[IPKernelApp]" not in line][-lines:])


def _leave_trace(plan, error):
    """Show in the executed copy, too, why a cell ended that raised nothing itself."""
    if isinstance(error, CellExecutionError) or not plan.result.cell:
        return
    cell = code_cells(plan.notebook)[plan.result.cell - 1]
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
