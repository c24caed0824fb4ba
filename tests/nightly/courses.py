"""The fast course under other back ends of Keras, other versions of Python, and the lowest versions of the packages.

    python tests/nightly/courses.py [tensorflow] [jax] [torch] [lowest] [3.12] [3.13] [--only 03,07]

It is run by hand, since a course takes from half an hour to three hours on two cores. `jax` and `torch` need the
package (pip install ".[backends]"); `lowest` and a version of Python need uv, and make an environment of their own.
What each course printed lies beside its executed notebooks in course-run/<name>. At the end stands a table of seconds
by chapter. Under `torch` NumPy is refused every tensor that Keras does not hand over, as it is on a GPU.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT, BACKENDS = Path(__file__).parents[2], ("tensorflow", "jax", "torch")
DONE = re.compile(r"^\[\d+/\d+\] (\d\d)_\w+: (passed|failed).*?(?:\((.+?)(?:,.*)?\))?$", flags=re.M)
# `np.array(tensor)` works on a processor and fails on a GPU, as tensor.numpy() does; keras.ops.convert_to_numpy works.
AS_ON_A_GPU = """
import sys, torch


def by_keras_alone(read):
    def refused_to_others(tensor, *args, **kwargs):
        if sys._getframe(1).f_globals["__name__"].partition(".")[0] not in ("keras", "torch"):
            raise TypeError("On a GPU NumPy could not read this tensor; keras.ops.convert_to_numpy can.")
        return read(tensor, *args, **kwargs)

    return refused_to_others


for name in ("__array__", "numpy"):
    setattr(torch.Tensor, name, by_keras_alone(getattr(torch.Tensor, name)))
"""


def environment(place, version, *options):
    """Make an environment of its own for this Python, a path or a version such as "3.13"; return its Python."""
    subprocess.run(["uv", "venv", "--quiet", "--python", version, place], check=True)
    python = Path(place, "bin", "python")
    command = ["uv", "pip", "install", "--quiet", "--python", python, *options]
    subprocess.run([*command, "--editable", f"{ROOT}[test]"], check=True)
    return python


def course(name, python, only, cache):
    """Run the fast course from an empty cache; return what each chapter took, or that it failed."""
    variables = os.environ | {"KPRETRAIN_CACHE": cache}
    if name in BACKENDS:
        variables["KERAS_BACKEND"] = name
    if name == "torch":
        Path(cache).mkdir(parents=True)
        Path(cache, "sitecustomize.py").write_text(AS_ON_A_GPU, encoding="utf8")
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [cache, variables.get("PYTHONPATH")]))
    out = ROOT / "course-run" / name
    out.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", "kpretrain", "run", "--jobs", "2", "--out", out, *(["--only", only] if only else [])]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}  # the progress goes to stderr
    printed = subprocess.run(command, cwd=ROOT, env=variables, text=True, **told).stdout
    (out / "log.txt").write_text(printed, encoding="utf8")
    return {chapter: took if end == "passed" else end for chapter, end, took in DONE.findall(printed)}


def main():
    """Run the courses that are named, one after another; the exit code is 1 if a chapter failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=[*BACKENDS, "lowest"])
    parser.add_argument("--only")
    given, columns = parser.parse_args(), {}
    for name in given.names:
        with tempfile.TemporaryDirectory() as place:
            python, own = sys.executable, Path(place, "python")
            if name == "lowest":
                python = environment(own, sys.executable, "--resolution", "lowest-direct")
            elif name not in BACKENDS:
                python = environment(own, name)
            columns[name] = course(name, python, given.only, str(Path(place, "cache")))
        print(f"{name}: {len(columns[name])} chapters", flush=True)
    print("| chapter |", " | ".join(columns), "|")
    print("|---|" + "---|" * len(columns))
    for chapter in sorted(set().union(*columns.values())):
        print(f"| {chapter} |", " | ".join(column.get(chapter, "") for column in columns.values()), "|")
    sys.exit(any("failed" in column.values() or not column for column in columns.values()))


if __name__ == "__main__":
    main()
