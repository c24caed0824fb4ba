"""Can what the course needs be installed without a compiler, on each Python and system? Asks the package index.

    python tests/nightly/wheels_exist.py

It is run by hand: it reads one page of https://pypi.org for each requirement and downloads no package. A cell is "ok"
where the newest version has a wheel, the newest version that has one where that is older but will do, "none" where
there is none within the bounds, and empty where the requirement does not count. Exit code 1 where a cell says "none".
"""

import itertools
import re
import sys
import tomllib
from pathlib import Path

import pandas as pd
import requests
from packaging import tags
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

ROOT = Path(__file__).parents[2]
PYTHONS = [(3, 11), (3, 12), (3, 13)]
GLIBC = 35  # 2.35, as in Ubuntu 22.04 and in Colab


def linux(processor):
    """The names of the platforms whose wheels run on this Linux."""
    return [f"manylinux_2_{k}_{processor}" for k in range(GLIBC, 4, -1)] + [f"manylinux2014_{processor}"]


SYSTEMS = {  # its wheels' platforms, and what the markers in requirements.txt ask for
    "Linux x86_64": (linux("x86_64"), "Linux"),
    "Linux aarch64": (linux("aarch64"), "Linux"),
    "Windows amd64": (["win_amd64"], "Windows"),
    "macOS arm64": (list(tags.mac_platforms((14, 0), "arm64")), "Darwin"),
}


def requirements():
    """Yield those of requirements.txt and, after them, those of the extras of pyproject.toml that are new."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf8").splitlines()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]["optional-dependencies"]
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in lines] + [*itertools.chain(*extras.values())]
    return list({one.name: one for one in map(Requirement, filter(None, lines))}.values())


def wheels(name):
    """Return the wheels of a package that are no pre-releases, as (version, the tags that they fit, their Pythons)."""
    accept = {"Accept": "application/vnd.pypi.simple.v1+json"}
    answer = requests.get(f"https://pypi.org/simple/{name}/", headers=accept, timeout=60)
    answer.raise_for_status()
    found = []
    for file in answer.json()["files"]:
        try:
            _, version, _, fits = parse_wheel_filename(file["filename"])
        except InvalidWheelFilename:
            continue  # a source archive
        if not version.is_prerelease and not file["yanked"]:
            found.append((version, fits, file.get("requires-python") or ""))
    return found


def cell(needed, found, python, platforms):
    """Return "ok", the newest version that will do, or "none"."""
    this = {*tags.cpython_tags(python, platforms=platforms), *tags.compatible_tags(python, "cp", platforms)}
    fit = [
        version
        for version, fits, pythons in found
        if fits & this
        and needed.specifier.contains(version)
        and SpecifierSet(pythons).contains("{}.{}.9".format(*python))
    ]
    if not fit:
        return "none"
    return "ok" if max(fit) == max(version for version, *_ in found) else str(max(fit))


def main():
    """Print the table, and return the exit code."""
    rows = {}
    for needed in requirements():
        found = wheels(needed.name)
        rows[str(needed.name)] = {"newest": str(max(version for version, *_ in found))} | {
            f"{'.'.join(map(str, python))} {system}": cell(needed, found, python, platforms)
            if needed.marker is None or needed.marker.evaluate({"platform_system": kind})
            else ""
            for system, (platforms, kind) in SYSTEMS.items()
            for python in PYTHONS
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    print(table.to_string())
    return int((table == "none").any(axis=None))


if __name__ == "__main__":
    sys.exit(main())
