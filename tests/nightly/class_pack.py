"""The folder for a class, in earnest: pack it, set it up with the network cut off, run the doctor and notebook 00.

    python tests/nightly/class_pack.py [FOLDER]

It is run by hand on Linux: it downloads about 1 GB of wheels, needs 5 GB of disk for a while, and takes ten minutes
on two free cores. A FOLDER that `pack` has made already is used as it is.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# In a network of its own, which holds the loopback that Jupyter's kernels need and nothing else.
ALONE = """
import fcntl, os, socket, struct, sys
with socket.socket() as one:
    fcntl.ioctl(one, 0x8914, struct.pack("16sh", b"lo", 0x49))  # SIOCSIFFLAGS: up
try:
    socket.create_connection(("1.1.1.1", 443), 5)
except OSError as error:
    print("The network is cut off:", error, flush=True)
    os.execvp(sys.argv[1], sys.argv[1:])
sys.exit("The network is still there.")
"""


def timed(what, *command, **variables):
    """Run a command to its end, in an environment without this one's packages and settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    started = time.perf_counter()
    subprocess.run(command, env=kept | variables, check=True)
    print(f"{what}: {time.perf_counter() - started:.0f} s", flush=True)


def size(folder):
    """Megabytes on the disk."""
    return int(subprocess.check_output(["du", "-sm", folder], text=True).split()[0])


def main(folder=None):
    """Pack, start, run; the first step that fails ends it."""
    with tempfile.TemporaryDirectory() as place:
        if folder is None:
            folder = Path(place, "pack")
            command = [sys.executable, "-m", "kpretrain", "pack", "--out", folder]
            timed("pack", *command, PYTHONPATH=str(Path(__file__).parents[2]), HOME=os.environ["HOME"])
        start = ["unshare", "-rn", sys.executable, "-c", ALONE, "sh", str(Path(folder).resolve() / "start.sh")]
        print(f"packed: {size(folder)} MB")
        timed("set up and doctor", *start, "true", HOME=place)
        print(f"set up: {size(folder)} MB")
        run = ["python", "-m", "kpretrain", "run", "--only", "00", "--out", str(Path(place, "run"))]
        timed("notebook 00, fast", *start, *run, HOME=place)


if __name__ == "__main__":
    main(*sys.argv[1:])
