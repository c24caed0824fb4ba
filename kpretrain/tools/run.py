"""Run the notebooks: plan them, execute each from a fresh kernel, stop cleanly at Ctrl-C, keep to time limits."""

import asyncio
import base64
import io
import logging
import os
import re
import tempfile
import time
from pathlib import Path

import joblib
import nbformat
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert.filters import strip_ansi
from PIL import Image

from ..files import write
from ..paths import ROOT, clone
from .progress import Progress
from .report import (
    Result,
    clear,
    closing_table,
    code_cells,
    first_heading,
    first_line,
    read_outputs,
    write_index,
)

# nbclient logs a line for a dead kernel and for a time-out; the summary says both better.
_LOG = logging.Logger("nbclient", level=logging.CRITICAL + 1)


class CourseError(ValueError):
    """A mistake that the user can mend; its message says how."""


def run(
    notebooks=None,
    *,
    profile="fast",
    only=None,
    out="course-run",
    in_place=False,
    timeout=1800,
    jobs=1,
    variables=None,
):
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
    only : str, default=None
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
    variables : dict of str to str, default=None
        More environment variables for the kernels.

    Returns
    -------
    results : list of Result
        One for each chosen notebook, in order.

    Raises
    ------
    CourseError
        If the folder or a number does not exist.
    """
    paths = find(notebooks, only)
    out = Path(out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    results = [_plan(path, profile) for path in paths]
    progress = Progress(results, jobs)
    environment = _environment(profile, jobs) | (variables or {})
    started = time.perf_counter()
    waiting = iter(results)

    async def work():
        for result in waiting:  # shared by all workers: each is taken once
            progress.start_notebook(result)
            own = environment | {"KPRETRAIN_BETS": str(Path(bets) / f"{result.name}.json")}
            await _run_one(result, own, timeout, progress)
            _keep(result, out, profile, in_place)
            progress.end_notebook(result)
            write_index(results, out, profile, time.perf_counter() - started)
            if result.status == "stopped":
                break

    try:
        with tempfile.TemporaryDirectory() as bets:
            asyncio.run(_side_by_side([work() for _ in range(jobs)], progress))
    except KeyboardInterrupt:
        pass  # what is done stays, the rest is "not run"
    finally:
        progress.close()
    index = write_index(results, out, profile, time.perf_counter() - started)
    print(closing_table(results))
    print(f"\nThe page: {index}")
    return results


def main(**options):
    """Run the notebooks, and return the exit code."""
    if options["in_place"] and options["notebooks"] is None:
        clone("run --in-place")
    return exit_code(run(**options))


def exit_code(results):
    """Return 0 if all notebooks passed, 130 if Ctrl-C stopped the run, 1 if one failed.

    Examples
    --------
    >>> exit_code([Result(Path("00_a.ipynb"), status="passed"), Result(Path("01_b.ipynb"), status="failed")])
    1
    """
    statuses = {result.status for result in results}
    if statuses & {"stopped", "not run"}:
        return 130
    return 1 if "failed" in statuses else 0


# Find and plan


def find(folder, only):
    """Return the chosen notebooks' paths, sorted by number.

    Examples
    --------
    >>> [path.name for path in find(None, "3")]
    ['03_cnn_mnist.ipynb']
    """
    folder = (ROOT / "notebooks") if folder is None else Path(folder).resolve()
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        mend = "Run the command in a clone of the repository, or name the folder with --notebooks."
        raise CourseError(f"There are no notebooks NN_*.ipynb in {folder}. {mend}")
    if only is None:
        return paths
    wanted = [number.strip().zfill(2) for number in only.split(",") if number.strip()]
    existing = [path.name[:2] for path in paths]
    unknown = [number for number in wanted if number not in existing]
    if unknown or not wanted:
        raise CourseError(f"There is no notebook {', '.join(unknown) or repr(only)}; there are {', '.join(existing)}.")
    return [path for path in paths if path.name[:2] in wanted]


def _plan(path, profile):
    """Return the result of a notebook that has not been run yet."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # whatever is wrong with the file, the other notebooks can run
        reason = f"the file can't be read: {type(error).__name__}: {first_line(str(error))}"
        return Result(path, path.stem, error=reason)
    cells = len(code_cells(notebook))
    title = next((heading for cell in notebook.cells if (heading := first_heading(cell))), path.stem)
    return Result(path, title, notebook, _usual_seconds(path, profile) or float(cells), cells=cells)


def _usual_seconds(path, profile):
    """Seconds from the table in the notebooks' README.md, whose last two columns are fast and full, or None."""
    readme = path.with_name("README.md")
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    row = re.search(rf"^\| \[{path.stem}\].*\| *(\d+) (s|min) *\| *(\d+) (s|min) *\|$", text, flags=re.MULTILINE)
    if row:
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


def _keep(result, out, profile, in_place):
    """Write the executed copy, and put what it shows into the result."""
    if result.notebook is None:
        return
    result.notebook.metadata["kpretrain"] = {"profile": profile, "seconds": round(result.seconds, 1)}
    read_outputs(result)
    _halve_figures(result.notebook)
    text = nbformat.writes(result.notebook) + "\n"
    result.executed = write(out / result.path.name, text)
    if in_place and result.status == "passed":
        write(result.path, text)


def _halve_figures(notebook):
    """Give the figures a palette of 256 colours: half the bytes, and all the colours that grey pictures have."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            if png := output.get("data", {}).get("image/png"):
                with Image.open(io.BytesIO(base64.b64decode(png))) as figure, io.BytesIO() as small:
                    figure.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(small, "PNG", optimize=True)
                    if len(small.getvalue()) < 0.75 * len(png):  # base64 is a third longer
                        output.data["image/png"] = base64.b64encode(small.getvalue()).decode("ascii")


async def _run_one(result, environment, timeout, progress):
    """Execute one notebook, and say in its result what became of it."""
    if result.notebook is None:
        result.status = "failed"
        return
    clear(result.notebook)
    started = time.perf_counter()
    manager = AsyncKernelManager(kernel_spec_manager=_ThisPython())
    client = NotebookClient(
        result.notebook,
        km=manager,
        timeout=timeout or None,
        startup_timeout=120,
        record_timing=False,
        log=_LOG,
        resources={"metadata": {"path": str(result.path.parent)}},
    )
    # What the kernel's process itself writes (TensorFlow's start-up lines) would tear the progress bar, and
    # explains a kernel that died.
    log = tempfile.TemporaryFile()
    try:
        await client.async_start_new_kernel(env=environment, stdout=log, stderr=log)
        await client.async_start_new_kernel_client()
        await _execute_cells(client, result, progress)
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
            _leave_trace(result, error)
    finally:
        if client.kc is not None:
            client.kc.stop_channels()
        if manager.has_kernel:
            await manager.shutdown_kernel(now=True)
        log.close()
        result.seconds = time.perf_counter() - started


async def _execute_cells(client, result, progress):
    places = {id(cell): index for index, cell in enumerate(result.notebook.cells)}
    for number, cell in enumerate(code_cells(result.notebook), start=1):
        result.cell, result.source = number, cell.source
        progress.show()
        started = time.perf_counter()
        await client.async_execute_cell(cell, places[id(cell)], execution_count=number)
        cell.metadata["kpretrain"] = {"seconds": round(time.perf_counter() - started, 2)}


async def _explain(error, manager, timeout, log):
    """Return why a notebook failed, in one line, and the traceback."""
    if isinstance(error, CellExecutionError):
        message = first_line(strip_ansi(error.evalue))[:300]
        return f"{error.ename}: {message}" if message else error.ename, strip_ansi(error.traceback)
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than the {timeout:g} s allowed (--timeout sets the limit)", ""
    if isinstance(error, DeadKernelError):
        code = await manager.provisioner.poll() if manager.provisioner else None
        hint = "; killed, most likely because memory ran out" if code == -9 else ""
        return f"the kernel died (exit code {code}{hint})", _tail(log)
    return f"{type(error).__name__}: {first_line(str(error))}", strip_ansi(str(error))


def _tail(log, lines=20):
    """Return the last lines that the kernel's process wrote, without the Jupyter kernel's own notices."""
    log.seek(0)
    written = strip_ansi(log.read().decode("utf-8", errors="replace")).splitlines()
    return "\n".join([line for line in written if line.strip() and "[IPKernelApp]" not in line][-lines:])


def _leave_trace(result, error):
    """Show in the executed copy, too, why a cell ended that raised nothing itself."""
    if result.cell and not isinstance(error, CellExecutionError):
        trace = {"ename": type(error).__name__, "evalue": result.error, "traceback": [result.error]}
        code_cells(result.notebook)[result.cell - 1].outputs.append(nbformat.v4.new_output("error", **trace))


def _environment(profile, jobs):
    """Return the kernels' environment; paths are absolute, since they run in the notebooks' folder."""
    environment = dict(os.environ, KPRETRAIN_PROFILE=profile)
    if jobs > 1:  # the linear algebra of kernels side by side, all cores each, is many times slower
        environment.setdefault("OMP_NUM_THREADS", str(max(1, joblib.cpu_count() // jobs)))
    for name in ("KPRETRAIN_DATA", "KPRETRAIN_CACHE"):
        if environment.get(name):
            environment[name] = str(Path(environment[name]).expanduser().resolve())
    # A back end chosen for scripts (Agg on a server) would keep the figures out of the notebook.
    environment.pop("MPLBACKEND", None)
    return environment
