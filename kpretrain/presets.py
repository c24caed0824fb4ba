"""Presets: checkpoints of our own, each a folder with the model and `manifest.json`, which says how it was made."""

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from pathlib import Path

from .data import loaded
from .files import cache_folder
from .paths import ROOT
from .session import run_facts
from .words import duration

FOLDER = ROOT / "data" / "presets"


class PresetError(ValueError):
    """A preset that is not there or is damaged; the message names the file and the mend.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.presets.load("nothing", folder="presets")
    Traceback (most recent call last):
    kpretrain.presets.PresetError: No preset 'nothing' in presets; there are: none.
    """


def available(folder=FOLDER):
    """Return the names of the presets in a folder, sorted.

    Examples
    --------
    >>> import kpretrain as kp
    >>> {"bert_docstrings", "resnet_cifar10"} <= set(kp.presets.available())
    True
    """
    return sorted(path.parent.name for path in Path(folder).glob("[!.]*/manifest.json"))


def save(model, name, *, command, data, metric, seconds, folder=FOLDER, **facts):
    """Store a trained model with its manifest. An older preset of that name stays until the new one is complete.

    Parameters
    ----------
    model : keras.Model
        One of keras_hub becomes a folder that its `from_preset` reads; any other one, `model.keras` in a folder
        (with the optimizer's state if it is compiled, which makes it up to three times as large).
    name : str
        The folder's name.
    command : str
        What makes the preset again.
    data, metric : str or dict
        What it was trained on, and how good it is: `{"probe, % correct": 96.2}`.
    seconds : float
        How long the training took.
    folder : path
    **facts
        More for the manifest, such as `settings`. Seed, date, versions and machine are filled in. `card`, a dict of
        what only people can say (amount, licence, not_for), is taken over from an older preset of that name.

    Returns
    -------
    pathlib.Path
        The preset's folder.

    Examples
    --------
    >>> import keras
    >>> import kpretrain as kp
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> made = {"command": "python make.py", "data": "none", "metric": {"accuracy, %": 90}, "seconds": 12}
    >>> kp.presets.save(model, "tiny", folder="presets", **made).name
    'tiny'
    """
    if not name or name.startswith(".") or Path(name).name != name:
        raise ValueError(f"A preset's name is a folder's name, not {name!r}.")
    ran = {key: value for key, value in run_facts().items() if key not in ("profile", "peak_memory_gb")}
    about = {"name": name, "command": command, "metric": metric, **ran, "data": data, "seconds": round(seconds, 1)}
    target = Path(folder) / name
    with contextlib.suppress(PresetError):  # where none is there yet, or a damaged one
        facts = {key: entry for key, entry in manifest(name, folder).items() if key == "card"} | facts
    new, old = (target.with_name(f".{name}-{word}-{uuid.uuid4().hex[:8]}") for word in ("new", "old"))
    try:
        new.mkdir(parents=True)
        if hasattr(model, "save_to_preset"):
            model.save_to_preset(str(new))
        else:
            model.save(new / "model.keras")
            if model.compiled:  # without the optimizer's state, which is twice as large as the model
                _read(new).save(new / "model.keras")
        text = json.dumps(about | facts | {"sha256": _hashes(new)}, indent=1, default=lambda number: number.item())
        (new / "manifest.json").write_text(text + "\n", encoding="utf8")
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return target


def _hashes(folder):
    """File -> sha256."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _place(name, folder):
    """A name in `folder`, or the path of a preset's folder."""
    is_path = isinstance(name, Path) or "/" in name or "\\" in name
    return Path(name) if is_path else Path(folder) / name


def manifest(name, folder=FOLDER):
    """Read a preset's manifest, as a dict. `name` is a name in `folder`, or the path of a preset's folder.

    Raises
    ------
    PresetError
        If there is no such preset (the message lists those that exist), or its manifest is missing or damaged.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.presets.manifest("resnet_cifar10")["command"]
    'python ...'
    """
    place = _place(name, folder)
    if not place.is_dir():
        there = ", ".join(available(place.parent)) or "none"
        raise PresetError(f"No preset {place.name!r} in {place.parent}; there are: {there}.")
    try:
        about = json.loads((place / "manifest.json").read_text(encoding="utf8"))
        if not isinstance(about["sha256"], dict) or not {"command", "metric", "seconds", "date", "machine"} <= set(
            about
        ):
            raise ValueError("it lacks entries")
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f"Take it again with `git checkout -- data/presets/{place.name}`, or train it again."
        raise PresetError(f"{place / 'manifest.json'}: missing or not readable ({error!r}). {mend}") from error
    return about


def load(name, folder=FOLDER):
    """Load a preset, after checking each of its files, and print where it comes from.

    Parameters
    ----------
    name : str or pathlib.Path
        A name in `folder`, or the path of a preset's folder.
    folder : path

    Returns
    -------
    keras.Model
        Not compiled, unless it is a keras_hub task.

    Raises
    ------
    PresetError
        If there is no such preset, or a file is missing, changed or not in the manifest. Nothing is read then.

    Examples
    --------
    >>> import keras
    >>> import kpretrain as kp
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> made = {"command": "python make.py", "data": "none", "metric": {"accuracy, %": 90}, "seconds": 12}
    >>> path = kp.presets.save(model, "tiny", folder="presets", **made)
    >>> kp.presets.load("tiny", folder="presets").output_shape
    preset tiny: accuracy, % 90; trained in 12 s on ... cores, ...; made again by `python make.py`
    (None, 3)
    """
    about, place = manifest(name, folder), _place(name, folder)
    actual = _hashes(place)
    if wrong := [file for file, wanted in about["sha256"].items() if actual.get(file) != wanted]:
        raise PresetError(
            f"{place / wrong[0]}: missing or damaged (by the sha256 in manifest.json). Take it again with "
            f"`git checkout -- data/presets/{place.name}`, or make it again with `{about['command']}`."
        )
    model = _read(place)
    metric = about["metric"]
    if isinstance(metric, dict):
        metric = ", ".join(f"{key} {value}" for key, value in metric.items())
    print(
        f"preset {place.name}: {metric}; trained in {duration(about['seconds'])} on "
        f"{about['machine'].split(',')[0]}, {about['date']}; made again by `{about['command']}`"
    )
    return model


def _read(place):
    import keras

    from . import models  # noqa: F401  registers its layers with Keras, which imports keras_hub where it needs it

    if (place / "model.keras").is_file():
        return keras.models.load_model(place / "model.keras", compile=False)
    import keras_hub  # registers its classes; Task.from_preset needs the very class

    kind = "task.json" if (place / "task.json").is_file() else "config.json"
    registered = json.loads((place / kind).read_text(encoding="utf8"))["registered_name"]
    loader = keras.saving.get_registered_object(registered)
    return (loader or keras_hub.models.Backbone).from_preset(str(place))


def load_or_train(name, train, *, seed=0, retrain=False, facts=tuple, folder=FOLDER):
    """Load a preset, or train the model here and now, and say which.

    Where `python -m kpretrain record` runs the notebook (`$KPRETRAIN_RECORD` is that command), the model is trained,
    and kept in the user's cache: the same command, interrupted and started again, goes on with what it kept. That
    holds as long as nothing has changed: seed, command, and `train` with the code and the data that it reads
    (`kp.fingerprint.fingerprint`).

    Parameters
    ----------
    name : str
    train : callable
        `train()` returns the trained model, or it and a dict of what else its manifest shall say, such as its
        `history`. `seconds` in it is taken for the measured ones: of a training that was interrupted, they are all.
        Called if there is no preset of that name and seed, or with `retrain`.
    seed : int
        Of the training. A preset that was trained with another one is not taken.
    retrain : bool
        Leave the preset aside.
    facts : callable
        `facts()` returns what else must be the same for what is kept, such as data that `train` loads itself. Called
        only where something is kept.
    folder : path

    Returns
    -------
    keras.Model, float
        The model, and the seconds that its training took.

    Raises
    ------
    PresetError
        If the preset is there and damaged: it is not replaced in silence.

    Examples
    --------
    >>> import keras
    >>> import kpretrain as kp
    >>> def train():
    ...     return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model, seconds = kp.presets.load_or_train("other", train, folder="presets")
    preset other: not loaded, there is no such preset with seed 0; trained here in ... s
    """
    command = os.environ.get("KPRETRAIN_RECORD", "")
    retrain = retrain or bool(command)
    if not retrain and (Path(folder) / name).exists() and (about := manifest(name, folder)).get("seed") in (None, seed):
        return load(name, folder), about["seconds"]
    key = _key(name, train, seed, command, *facts()) if command else None
    cached = key and cache_folder() / "presets" / key
    if cached and cached.exists():
        print(f"preset {name}: goes on with what the same command kept")
        return load(cached), manifest(cached)["seconds"]
    start = time.perf_counter()
    trained = train()
    model, about = trained if isinstance(trained, tuple) else (trained, {})
    seconds = about.pop("seconds", time.perf_counter() - start)
    why = "as you asked" if retrain else f"there is no such preset with seed {seed}"
    print(f"preset {name}: not loaded, {why}; trained here in {duration(seconds)}")
    if cached:
        about = {"command": command, "data": loaded(), "metric": "see the record", "seed": seed} | about
        save(model, cached.name, seconds=seconds, folder=cached.parent, **about)
        model = load(cached)  # as a reader has it: Keras writes down in other words how a layer was built
    return model, seconds


def shared_seed(seed):
    """Return the seed of a long pretraining: 0, whose preset all runs of a notebook share, or `seed` in a record's run.

    A class that runs a notebook under thirty seeds draws thirty sets of labels, and has one pretraining.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.presets.shared_seed(7)  # no record is made
    0
    """
    return seed if os.environ.get("KPRETRAIN_RECORD") else 0


def state_path(name, train, *facts):
    """Return the file for the weights of a training that may be interrupted, and say so if it is there.

    Parameters
    ----------
    name : str
    train : callable
        What is trained: another file belongs to it when its code changes, or the code and the data that it reads.
    *facts
        What else must be the same, such as data that `train` loads itself.

    Returns
    -------
    pathlib.Path or None
        In the user's cache, ending in `.weights.h5`. None unless `python -m kpretrain record` runs the notebook, and
        if it cannot be told whether something has changed; a line says so.

    Examples
    --------
    >>> import kpretrain as kp
    >>> print(kp.presets.state_path("tiny", len, "seed 0"))  # no record is made
    None
    """
    if not os.environ.get("KPRETRAIN_RECORD"):
        return None
    key = _key(name, train, *facts)
    path = key and cache_folder() / "training" / f"{key}.weights.h5"
    if path and path.exists():
        print(f"{name}: goes on with the training that the same command kept")
    return path


def _key(name, *facts):
    """A name for what is kept, which changes with the facts; None, and a line, where they cannot be told."""
    from .fingerprint import fingerprint

    try:
        return f"{name}-{fingerprint([loaded(), *facts])[:16]}"
    except TypeError as error:
        print(f"{name}: nothing is kept, and nothing old is taken. {error}")
        return None
