"""What every test starts from: no network, an empty Keras cache, one cache folder and one file of bets for all."""

import os
import signal
from pathlib import Path

import pytest

from kpretrain import session

session.reuse_memory()  # before any test imports TensorFlow
# A worker of pytest-xdist ignores Ctrl-C, as a process started with nohup does, and hands that on to what tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _apart_from_the_user(tmp_path_factory):
    """Leave the user's own caches alone. The docstrings corpus takes 20 s to build, so all tests share one cache."""
    with pytest.MonkeyPatch.context() as patch:
        if "KPRETRAIN_CACHE" not in os.environ:
            patch.setenv("KPRETRAIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        if "KPRETRAIN_OFFLINE" not in os.environ:
            patch.setenv("KPRETRAIN_OFFLINE", "1")
        patch.setenv("KPRETRAIN_BETS", str(tmp_path_factory.mktemp("bets") / "bets.json"))
        patch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
        yield


@pytest.fixture(autouse=True)
def _no_tuner():
    """As after `kp.setup()`, for whichever test loads TensorFlow first."""
    session.spare_the_tuner()


@pytest.fixture
def real_data():
    """The folder that `$KPRETRAIN_DATA` names, with the real MNIST in it."""
    folder = os.environ.get("KPRETRAIN_DATA")
    if not folder or not (Path(folder) / "mnist.npz").is_file():
        pytest.skip("KPRETRAIN_DATA names no folder with mnist.npz")
    return Path(folder)
