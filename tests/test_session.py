"""The start and the end of a notebook: the profile, a quiet setup, the seed and the stamp."""

import os
import platform
import subprocess
import sys

import pytest

from kpretrain import session


def python(code, **environment):
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("KPRETRAIN_P", "KPRETRAIN_S"))}
    variables.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=variables | environment, capture_output=True, text=True, timeout=600
    )


@pytest.mark.parametrize(("value", "epochs"), [(None, 1), ("", 1), ("fast", 1), ("full", 20), (" Full ", 20)])
def test_profile(monkeypatch, value, epochs):
    monkeypatch.delenv("KPRETRAIN_PROFILE", raising=False)
    if value is not None:
        monkeypatch.setenv("KPRETRAIN_PROFILE", value)
    settings = session.profile(fast={"epochs": 1, "rows": 10}, full={"epochs": 20, "rows": 1000})
    assert settings.epochs == epochs and set(settings.as_dict()) == {"epochs", "rows"}


def test_single_settings_can_be_overridden_from_outside(monkeypatch):
    def settings():
        return session.profile(fast={"draws": 2, "rows": 10}, full={"draws": 3, "rows": 20}).as_dict()

    monkeypatch.setenv("KPRETRAIN_PROFILE", "full")
    monkeypatch.setenv("KPRETRAIN_SETTINGS", '{"draws": 9}')
    assert settings() == {"draws": 9, "rows": 20}
    monkeypatch.setenv("KPRETRAIN_SETTINGS", '{"grid": 1}')
    with pytest.raises(ValueError, match="settings that the notebook has, not: grid"):
        settings()


def test_profile_names_what_is_wrong(monkeypatch):
    with pytest.raises(ValueError, match=r"only one of them has: batch, epochs\."):
        session.profile(fast={"rows": 1, "epochs": 1}, full={"rows": 2, "batch": 3})
    monkeypatch.setenv("KPRETRAIN_PROFILE", "quick")
    with pytest.raises(ValueError, match="KPRETRAIN_PROFILE is 'quick'; set it to 'fast' or 'full'"):
        session.profile(fast={}, full={})


DRAW = """
import kpretrain as kp
print(kp.setup(seed=3))
import random, numpy, keras
print(random.random(), numpy.random.rand(), float(keras.random.uniform(())))
kp.stamp()
"""


@pytest.fixture(scope="module")
def started():
    runs = [python(DRAW, KPRETRAIN_PROFILE="full"), python(DRAW, KPRETRAIN_SEED="8")]
    assert [run.returncode for run in runs] == [0, 0], runs
    return runs


def test_setup_says_what_runs_and_nothing_else(started):
    run = started[0]
    assert run.stderr == ""
    first, seed, _, *stamp = run.stdout.splitlines()
    assert first.startswith("kpretrain ") and " · profile full · seed 3" in first and seed == "3"
    assert f"Python {sys.version.split()[0]}" in first and "keras 3." in first and " on tensorflow 2." in first
    assert len(stamp) == 2 and stamp[0].startswith("Executed 20") and "profile full · seed 3 · " in stamp[0]
    assert " s · peak memory 0." in stamp[0] or " s · peak memory 1." in stamp[0]
    assert "cores" in stamp[1] and "not installed" not in stamp[1]


def test_the_seed_reaches_every_generator(started):
    lines = [run.stdout.splitlines() for run in started]
    assert lines[1][1] == "8" and "seed 8" in lines[1][0]
    draws = [line[2].split() for line in lines]
    assert all(a != b for a, b in zip(*draws, strict=True))
    import random

    assert draws[0][0] == str(random.Random(3).random()) and draws[1][0] == str(random.Random(8).random())


def test_a_wrong_seed_is_named(monkeypatch):
    for value in ("eight", "-1", "1.5"):
        monkeypatch.setenv("KPRETRAIN_SEED", value)
        with pytest.raises(ValueError, match=f"KPRETRAIN_SEED is '{value}'; set it to a whole number"):
            session.setup()


FIT = """
digits = kp.data.load("digits")
encoder = kp.presets.load("simclr_mnist")
few = digits.train.x[:40], digits.train.y[:40]
network = kp.FineTune(encoder, updates=2, random_state=0).fit(*few)
print(network.score(*few), kp.Features(encoder).fit_transform(few[0]).shape)
"""


@pytest.mark.parametrize(
    ("start", "rest"),
    [
        ("import kpretrain as kp", FIT),  # without `setup`: Keras is loaded somewhere within
        ("import kpretrain as kp; import keras; kp.setup()", ""),
        ("import keras, os; os.write(2, b'loaded'); import kpretrain as kp; kp.setup()", ""),
    ],
)
def test_a_script_is_quiet(start, rest):
    """What TensorFlow writes while a script imports Keras before kpretrain is out of reach; nothing may follow that."""
    run = python(f"{start}\n{rest}")
    assert run.returncode == 0 and ("(40, 128)" if rest else "on tensorflow") in run.stdout, run
    assert run.stderr.partition("loaded")[2 if "loaded" in start else 0] == ""


def test_tensorflow_is_quiet_where_keras_runs_on_another_backend_and_a_cell_uses_it_late():
    pytest.importorskip("jax")
    code = "import kpretrain as kp; kp.setup(); import tensorflow as tf; print(tf.ones(1))"
    run = python(code, KERAS_BACKEND="jax")
    assert run.returncode == 0 and "on jax" in run.stdout and run.stderr == "", run


QUIET = """
import os, sys
from kpretrain import session
with session.quiet():
    os.write(2, b"noise of a library\\n")
os.write(2, b"after\\n")
sys.stdout.flush()
with session.quiet():
    os.write(2, b"why it failed\\n")
    import not_a_module
"""


def test_what_was_held_back_is_shown_when_the_start_fails():
    run = python(QUIET)
    assert run.returncode == 1 and "noise" not in run.stderr
    assert run.stderr.startswith("after\nwhy it failed\nTraceback")
    assert "No module named 'not_a_module'" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no peak is told there")
def test_the_peak_is_that_of_this_process_and_not_of_its_parent():
    code = """if True:
        import subprocess, sys
        import numpy as np
        held = np.ones(150_000_000)  # 1.2 GB
        child = "from kpretrain import session; print(session.peak_memory())"
        print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout)
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.005 < float(told.stdout) < 0.6


def test_stamp_names_the_data(monkeypatch, capsys):
    monkeypatch.setattr(session, "_state", {"started": 0.0, "seed": 4})
    monkeypatch.setattr(session, "backend", lambda: "jax 0.6.2")
    monkeypatch.setattr("kpretrain.data.loaded", lambda: {"mnist": "a file", "docstrings": "nine libraries"})
    session.stamp()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["data: mnist from a file", "data: docstrings from nine libraries"]
    assert "on jax" in lines[1]


def test_stamp_without_setup_names_the_mend(monkeypatch):
    monkeypatch.setattr(session, "_state", {"started": None, "seed": None})
    with pytest.raises(RuntimeError, match=r"kp\.setup first"):
        session.stamp()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_a_training_does_not_ask_the_system_for_its_memory_again_and_again():
    """Without `reuse_memory` these hundred updates cost about 950,000 page faults, with it some thousands."""
    code = """if True:
        import resource
        import numpy as np
        import kpretrain as kp
        kp.setup()
        network = kp.FineTune(kp.models.image_encoder(), augment=kp.models.Jitter(), updates=100, random_state=0)
        rows = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), "uint8"), np.arange(100) % 10
        network.fit(*rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network.fit(*rows)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(told.stdout.split()[-1]) < 150_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_nor_do_convolutions_of_large_batches():
    """Five updates: 640,000 page faults without `reuse_memory`, and as many with a padded heap alone."""
    code = """if True:
        import resource
        import numpy as np
        import kpretrain as kp
        kp.setup()
        import keras
        images, labels = np.zeros((160, 64, 64, 3), "float32"), np.arange(160) % 10
        parts = [keras.Input((64, 64, 3))]
        for _ in range(2):
            convolution = keras.layers.Conv2D(64, 3, padding="same")
            parts += [convolution, keras.layers.BatchNormalization(), keras.layers.ReLU()]
        network = keras.Sequential([*parts, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)])
        network.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        network.fit(images, labels, batch_size=32, verbose=0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        network.fit(images, labels, batch_size=32, verbose=0)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(told.stdout.split()[-1]) < 150_000


def test_a_data_set_iterates_without_the_tuner_unless_it_asks_for_it():
    tf = pytest.importorskip("tensorflow")
    session.spare_the_tuner()
    session.spare_the_tuner()  # once is enough: nothing is wrapped twice
    assert not hasattr(tf.data.Dataset.__iter__.__wrapped__, "__wrapped__")
    rows = tf.data.Dataset.range(7).map(lambda row: 2 * row, num_parallel_calls=tf.data.AUTOTUNE).batch(3)
    iterator = iter(rows.prefetch(tf.data.AUTOTUNE))
    assert iterator._dataset.options().autotune.enabled is False
    assert [row for batch in iterator for row in batch.numpy()] == list(range(0, 14, 2))
    options = tf.data.Options()
    options.autotune.enabled = True
    assert iter(rows.with_options(options))._dataset.options().autotune.enabled is True


def test_setup_asks_for_a_restart_where_a_loaded_package_was_replaced(monkeypatch):
    import numpy

    monkeypatch.setattr(numpy, "__version__", "2.0.2")
    with pytest.raises(RuntimeError, match=r"Restart the kernel .*: numpy 2\.0\.2 is loaded, and .* installed"):
        session.setup()
