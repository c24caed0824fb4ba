"""What other systems do otherwise, as far as it can be simulated here: encodings, order, locks, what does not exist."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import keras
import numpy as np
import pytest

from kpretrain import Features, words
from kpretrain.data import folders
from kpretrain.tools.serve import Service

ROOT = Path(__file__).parents[1]
CODE = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf8") for path in ROOT.glob("kpretrain/**/*.py")}
for _path in sorted(ROOT.glob("notebooks/**/[0-9]*.ipynb")):
    for _cell in json.loads(_path.read_text(encoding="utf8"))["cells"]:
        _source = "".join(_cell["source"])
        if _cell["cell_type"] == "code" and not any(line.lstrip()[:1] in ("!", "%") for line in _source.splitlines()):
            CODE[f"{_path.name}, cell {_cell['id']}"] = _source

# Run first in a process, after the other libraries: there is nothing that only POSIX has.
WITHOUT_POSIX = """
import os, pathlib, platform, signal, sys
import joblib, pandas, platformdirs, psutil, requests, sklearn  # they know how to do without
for name in "fork killpg getpgid getuid geteuid sched_getaffinity setsid uname".split():
    delattr(os, name)
del signal.SIGKILL, signal.SIGHUP
for name in ("resource", "fcntl", "pwd", "termios", "tensorflow_text"):
    sys.modules[name] = None
platform.libc_ver = lambda *_: ("", "")
is_file = pathlib.Path.is_file
pathlib.Path.is_file = lambda path: not str(path).startswith(("/proc", "/sys")) and is_file(path)
"""

SPAWNED = """
import multiprocessing, os
import numpy as np
from sklearn.dummy import DummyClassifier
from kpretrain.comparison import compare
from kpretrain.data import Dataset, Part

class Where(DummyClassifier):
    def fit(self, x, y):
        open(f"process {os.getpid()}", "w", encoding="utf8").close()
        return super().fit(x, y)

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    del os.fork
    x, y = np.zeros((60, 2)), np.arange(60) % 2
    data = Dataset("rows", Part(x, y), Part(x[:0], y[:0]), Part(x, y), ["no", "yes"], "made here")
    found = compare({"majority": Where()}, data, [1, 5], 4, progress=False, n_jobs=2)
    print(found.verdict() and "compared")
"""


def opened_without_encoding(source):
    """The lines of a piece of code that read or write text in the encoding of whichever system they run on."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or any(keyword.arg == "encoding" for keyword in node.keywords):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        bare = isinstance(node.func, ast.Name)
        modes = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if (name == "read_text" and not node.args) or (name == "write_text" and len(node.args) < 2):
            yield node.lineno
        elif name == "open" and bare and not any("b" in mode for mode in modes[-1:]):
            yield node.lineno


def test_the_scan_sees_what_it_should():
    assert list(opened_without_encoding("open(p)\nopen(p, 'w')\np.read_text()\np.write_text(x)")) == [1, 2, 3, 4]
    assert not list(opened_without_encoding("open(p, 'rb')\np.read_text('utf8')\np.write_text(x, encoding='utf8')"))


def test_text_is_read_and_written_in_a_named_encoding():
    found = [f"{name}, line {line}" for name, code in CODE.items() for line in opened_without_encoding(code)]
    # 10 and 11: JSON that json.dumps wrote, which is ASCII
    found = [place for place in found if not place.startswith(("10_", "11_"))]
    assert len(CODE) > 100 and not found


def test_a_command_writes_to_a_pipe_that_holds_few_signs():
    """A pipe on Windows is in the encoding of the country, often without "·" or "→"."""
    program = (
        "from kpretrain.tools import cli, doctor; doctor.report = lambda: print('a · b → c'); cli.main(['doctor'])"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "a ? b ? c\n"), done.stderr


def test_paths_have_one_order_on_every_system():
    names = ["b/1.png", "B/2.png", "a/10.png", "A/9.png"]
    windows = sorted(map(PureWindowsPath, names), key=folders._parts)
    assert [path.as_posix() for path in windows] == ["A/9.png", "B/2.png", "a/10.png", "b/1.png"]
    assert sorted(map(PureWindowsPath, names)) != windows  # which is why


def test_no_two_files_of_the_course_differ_by_case_alone():
    names = [
        path.relative_to(ROOT).as_posix()
        for folder in ("kpretrain", "notebooks", "data", "tests")
        for path in (ROOT / folder).rglob("*")
    ]
    assert len({name.lower() for name in names}) == len(names) > 100
    assert not [name for name in names if set(name) & set('<>:"\\|?*')]


@pytest.mark.parametrize("quicker", [True, False], ids=["another was quicker", "no other"])
def test_features_of_a_file_that_cannot_be_replaced(tmp_path, monkeypatch, capsys, quicker):
    """Windows replaces no file that another process has mapped: its features, which are the same, are taken."""
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path))
    encoder, x = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3)]), np.ones((4, 2), "float32")
    replace = Path.replace

    def denied(path, target):
        if quicker:
            replace(path, target)
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "replace", denied)
    features = Features(encoder).fit_transform(x)
    assert isinstance(features, np.memmap) == quicker
    np.testing.assert_allclose(features, keras.ops.convert_to_numpy(encoder(x)), atol=1e-6)
    assert ("cannot be written (Access is denied)" in capsys.readouterr().out) != quicker
    assert not list(tmp_path.rglob("*.part"))


def test_a_command_to_copy_is_quoted_for_the_systems_shell(monkeypatch):
    assert words.quoted("my photos") == "'my photos'"
    monkeypatch.setattr(words.os, "name", "nt")
    assert words.quoted(r"C:\my photos") == r'"C:\my photos"'
    assert words.quoted(r"C:\photos") == r"C:\photos"


def test_windows_lets_no_second_service_take_a_port():
    program = "import http.server, onnxruntime, os, PIL.Image\nos.name = 'nt'\n"
    program += "from kpretrain.tools.serve import Service\nprint(Service.allow_reuse_address)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
    assert Service.allow_reuse_address


def test_doctor_and_set_up_need_nothing_that_only_posix_has(tmp_path):
    program = WITHOUT_POSIX + "\n".join(
        [
            "import kpretrain as kp",
            "from kpretrain.tools import doctor",
            "assert kp.session.peak_memory() is None",
            "kp.setup()",
            "kp.stamp()",
            "print(*doctor.checks(smoke=False), sep='\\n')",
            "from kpretrain.tools import cli, own, run, serve, ship",
        ]
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KPRETRAIN_CACHE": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Executed" in done.stdout and "peak memory" not in done.stdout
    assert "[fail]" not in done.stdout.replace("[fail] tensorflow-text", "")


def test_a_comparison_runs_in_processes_that_are_spawned(tmp_path):
    """As on Windows: no process is a copy of another one."""
    script = tmp_path / "script.py"
    script.write_text(SPAWNED, encoding="utf8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "KPRETRAIN_CACHE": str(tmp_path)}
    run = {"env": environment, "cwd": tmp_path, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, script], **run)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["compared"]), done.stderr
    assert list(tmp_path.glob("process *"))
