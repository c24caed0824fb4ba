"""A notebook alone, as in Colab: in an environment that is a year old, and with a wheel of the course as its source.

    python tests/nightly/colab_like.py [02]

It is run by hand: it installs two TensorFlows, which takes some ten minutes and 5 GB of disk. Nothing but packages is
fetched. It prints what the first cell said and replaced, and whether the notebook then ran through, fast. At the end
`compare` runs in another folder, with the preset that the wheel brings.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from packaging.utils import canonicalize_name
from PIL import Image

ROOT = Path(__file__).parents[2]
# As Colab had them in the summer of 2025. What executes the notebook is not among them: it runs here.
COLAB = """tensorflow==2.19.0 keras==3.10.0 keras-hub==0.21.1 numpy==2.0.2 pandas==2.2.2 matplotlib==3.10.0
scipy==1.15.3 scikit-learn==1.6.1 pyarrow==18.1.0 pillow==11.3.0 requests==2.32.3 tqdm==4.67.1 psutil==5.9.5
joblib==1.5.1 ipykernel==6.17.1 ipython==7.34.0 jupyter_client==6.1.12 nbformat==5.10.4 nbclient==0.10.2
nbconvert==7.16.6 packaging==25.0 setuptools==75.2.0""".split()
# Colab has loaded these packages before the first cell.
STARTUP = """
import sys, types
import numpy, pandas, matplotlib
sys.modules["google.colab"] = types.ModuleType("google.colab")
"""


def told(seconds, *words):
    print(f"{seconds:5.0f} s", *words, flush=True)


def run(*command, **options):
    """Run a command that must succeed; return the seconds and what it printed."""
    started = time.perf_counter()
    done = subprocess.run([str(word) for word in command], check=True, text=True, stdout=subprocess.PIPE, **options)
    return time.perf_counter() - started, done.stdout


def versions(python):
    packages = json.loads(run(python, "-m", "pip", "list", "--format", "json")[1])
    return {canonicalize_name(package["name"]): package["version"] for package in packages}


def execute(python, notebook, folder, variables):
    """Execute a notebook in a fresh kernel of that Python; return the seconds, its first cell's text, and the error."""

    class There(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            return KernelSpec(argv=make_ipkernel_cmd(executable=str(python)), display_name="", language="python")

    document = nbformat.read(notebook, as_version=4)
    manager = AsyncKernelManager(kernel_spec_manager=There())
    client = NotebookClient(document, km=manager, timeout=3600, resources={"metadata": {"path": str(folder)}})
    started, error = time.perf_counter(), ""
    try:
        client.execute(env=variables)
    except CellExecutionError as failed:
        error = f"{failed.ename}: {failed.evalue}"
    first = next(cell for cell in document.cells if cell.cell_type == "code")
    text = "".join(output.get("text", "") for output in first.outputs)
    return time.perf_counter() - started, text, error


def compare(python, folder, variables):
    """Compare on 40 pictures of dark and of bright noise; return the seconds."""
    random = np.random.default_rng(0)
    for name, bright in (("dark", 0), ("bright", 100)):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(bright, bright + 100, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    options = ["--encoder", "resnet_cifar10", "--labels", "5", "--seeds", "3", "--updates", "5"]
    seconds, _ = run(python, "-m", "kpretrain", "compare", "photos", *options, cwd=folder, env=variables)
    assert (folder / "comparison" / "index.html").is_file()
    return seconds


def main(number="02"):
    (notebook,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        python = folder / "colab" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "KPRETRAIN_DATA")}
        run(sys.executable, "-m", "venv", python.parents[1])
        told(run(python, "-m", "pip", "install", "--quiet", *COLAB, env=variables)[0], "an environment like Colab's")
        told(run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT)[0], "a wheel")
        before = versions(python)
        startup = folder / "ipython" / "profile_default" / "startup" / "colab.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP, encoding="utf-8")
        variables |= {"IPYTHONDIR": str(folder / "ipython"), "KPRETRAIN_SOURCE": str(next(folder.glob("*.whl")))}
        variables |= {"KPRETRAIN_PROFILE": "fast", "KPRETRAIN_CACHE": str(folder / "cache")}
        variables |= {"KPRETRAIN_BETS": str(folder / "bets.json"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        alone = folder / "content"
        alone.mkdir()
        (alone / notebook.name).write_bytes(notebook.read_bytes())
        for attempt in ("the first time", "after a restart"):
            seconds, text, error = execute(python, alone / notebook.name, alone, variables)
            told(seconds, f"{notebook.name}, {attempt}: {error or 'ran through'}\n{text}")
            if not error.startswith("RuntimeError: Restart"):
                break
        if not error:
            told(compare(python, folder, variables), "compare, with the preset that the wheel brings")
        after = versions(python)
        print("| package | Colab's | now |\n|---|---|---|")
        for name in sorted(before):
            if after.get(name) != before[name]:
                print(f"| {name} | {before[name]} | {after.get(name, 'gone')} |")
        print(f"New: {', '.join(sorted(after.keys() - before.keys()))}.")
        return int(bool(error))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
