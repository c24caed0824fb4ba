"""Is this machine ready: what is missing is named with its mend, even where no package works."""

import re
import subprocess
import sys
import tomllib
from types import SimpleNamespace

import nbformat
import pytest

from kpretrain.paths import ROOT
from kpretrain.tools import doctor
from kpretrain.tools.cli import main


def test_machine_names_missing_and_old_packages(tmp_path, monkeypatch, capsys):
    lines = [
        "# a comment",
        "keras>=3.15  # every network",
        "numpy>=999",
        "pandas>=1",
        'x; platform_system == "Nowhere"',
    ]
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    versions = {"numpy": "2.1.0", "pandas": "2.3.0"}
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "version", versions.get)
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    assert doctor.report() == 1
    told = capsys.readouterr().out
    assert "[fail] keras is not installed (needs >=3.15)" in told
    assert '-m pip install "keras>=3.15"' in told
    assert "[fail] numpy 2.1.0 (needs >=999)" in told
    assert "[ok]   pandas 2.3.0 (needs >=1)" in told
    assert "[fail] no notebooks" in told
    assert "TensorFlow is not tried out" in told
    assert "] x " not in told
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("program", "seconds", "status", "expected"),
    [
        ("pass", 60, "ok", "multiply"),
        ("raise ImportError('a broken wheel')", 60, "fail", "a broken wheel"),
        ("import time; time.sleep(30)", 0.3, "fail", "within 0.3 s"),
    ],
)
def test_machine_tries_tensorflow_out(monkeypatch, program, seconds, status, expected):
    monkeypatch.setattr(doctor, "SMOKE_TEST", program)
    monkeypatch.setattr(doctor, "SMOKE_SECONDS", seconds)
    check = doctor._smoke_test()
    assert check.status == status
    assert expected in str(check)


def test_machine_works_with_the_standard_library_alone():
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
    program += "from kpretrain.__main__ import main; sys.exit(main(['doctor']))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "packaging is not installed" in done.stdout


def test_machine_sees_a_wrong_data_folder_and_a_closed_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KPRETRAIN_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "file" / "cache"))
    assert next(doctor._data()).status == "fail"
    closed = next(doctor._cache())
    assert closed.status == "fail"
    assert "set KPRETRAIN_CACHE" in closed.mend


def test_the_python_that_is_needed_is_that_of_pyproject():
    (first, low), (second, high) = doctor.PYTHON_FROM, doctor.PYTHON_BELOW
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={first}.{low},<{second}.{high}"


def test_packages_are_known_by_one_spelling(monkeypatch):
    """A newer release may spell its name otherwise, as jupyter_client did."""

    class Found:
        name, version = "Jupyter_Client", "8.6"

    monkeypatch.setattr(doctor.importlib.metadata, "distributions", lambda: [Found])
    assert doctor._installed() == {"jupyter-client": "8.6"}


def test_an_installation_that_fails_says_why(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pip")
    (tmp_path / "requirements.txt").write_text("a-package-that-nobody-wrote>=1")
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main(["doctor", "--install"]) != 0
    told = capsys.readouterr().out
    assert "No matching distribution found for a-package-that-nobody-wrote" in told and "Failed in " in told


def test_what_is_missing_is_installed_and_what_will_do_is_kept(tmp_path, monkeypatch, capsys):
    lines = ["keras>=3.15", "numpy>=2.1", "tensorflow>=2.21", "ipykernel>=999", 'x>=1; platform_system == "Nowhere"']
    lines += ["jupyter-client>=999"]  # a wheel spells jupyter_client so
    (tmp_path / "requirements.txt").write_text("\n".join(lines))
    versions = {"numpy": "1.26.0", "tensorflow": "2.22.1", "ipykernel": "6.17.1", "jupyter-client": "6.1.12"}
    commands = []

    class Done:
        returncode, stdout, stderr = 0, "", "a conflict that is none of the course's"

    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "version", lambda name, missing: versions.get(name, missing))
    monkeypatch.setattr(doctor.subprocess, "run", lambda command, **_: commands.append(command) or Done)
    installed = iter(
        [{"numpy": "1.26.0", "jupyter-client": "6", "gone": "1"}, {"numpy": "2.4.6", "jupyter-client": "6"}]
    )
    monkeypatch.setattr(doctor, "_installed", lambda: next(installed, {}))
    assert main(["doctor", "--install"]) == 0
    kept = ["tensorflow==2.22.1", "ipykernel==6.17.1", "jupyter-client==6.1.12"]
    assert commands == [[sys.executable, "-m", "pip", "install", "--quiet", "keras>=3.15", "numpy>=2.1", *kept]]
    told = capsys.readouterr().out
    assert "Installing keras>=3.15, numpy>=2.1 in place of 1.26.0: one to five minutes." in told
    assert "0 packages are new. Replaced: gone 1 by nothing, numpy 1.26.0 by 2.4.6." in told
    assert "conflict" not in told
    versions |= {"keras": "3.15.1", "numpy": "2.1.0", "tensorflow": "2.20.0"}  # too old a TensorFlow is not kept
    main(["doctor", "--install"])
    assert commands[1][5:] == ["tensorflow>=2.21", *kept[1:]]
    versions["tensorflow"] = "2.21.0"
    assert main(["doctor", "--install"]) == 0 and len(commands) == 2  # nothing is missing: nobody is asked


def test_chapters_that_lack_a_package_are_named(monkeypatch, capsys):
    """As on Windows, where there is no tensorflow-text: all else is ready, and two chapters are not."""
    monkeypatch.setattr(doctor, "version", lambda name, missing: missing)
    monkeypatch.setattr(doctor, "_packages", lambda: [])
    assert doctor.report() == 0
    told = capsys.readouterr().out
    assert "[note] chapters 10, 11 cannot run to the end: tensorflow-text is not installed" in told
    assert "[note] chapter 16 leaves out what needs it: dask" in told and "\nReady. Next: " in told


def test_what_the_doctor_knows_of_the_chapters_is_so():
    wanting = {"tensorflow-text": r"tensorflow_text|Text\w*Preprocessor", "dask": r"\bimport dask|from dask"}
    found = {name: [] for name in wanting}
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        text = path.read_text(encoding="utf8")
        code = [cell.source for cell in nbformat.reads(text, 4).cells if cell.cell_type == "code"]
        for name, pattern in wanting.items():
            found[name] += [path.name[:2]] * bool(re.search(pattern, "\n".join(code)))
        assert all(float(peak) <= doctor.MEMORY_NEEDED for peak in re.findall(r"peak memory ([\d.]+) GB", text))
    assert found == {name: re.findall(r"\d\d", doctor.EXTRAS[name][0]) for name in wanting}


def test_too_little_memory_is_noted(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=int(3.6e9)))
    check = doctor._memory()
    assert check.status == "note" and "3.6 GB of memory" in check.text and "fast profile" in check.mend
