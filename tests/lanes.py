"""The first cells of 09 and 10, and weights that lie where kagglehub keeps those of the real names."""

from pathlib import Path

import keras_hub
import nbformat

ROOT = Path(__file__).parents[1]
NOTEBOOKS = {"resnet_50_imagenet": "09_transfer_resnet", "bert_base_en_uncased": "10_transfer_bert"}


def lane(name):
    """The core cell that asks for this preset by its name and the cell after it, as they are printed."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{NOTEBOOKS[name]}.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    (first,) = [k for k, cell in enumerate(cells) if f'"{name}"' in cell.source and "from_preset(" in cell.source]
    assert "core" in cells[first].metadata.tags and first == 2  # after set-up and settings
    assert "load_model(" in cells[first + 1].source
    return cells[first].source + "\n" + cells[first + 1].source


def run(name):
    """Run these cells alone, and return their namespace."""
    space = {"__name__": "__main__"}
    exec(compile(lane(name), name, "exec"), space)
    return space


def shelve(cache, name, *parts):
    """Save the parts of a preset into kagglehub's cache, each file marked as complete. Returns the folder."""
    handle = keras_hub.models.Backbone.presets[name]["kaggle_handle"].removeprefix("kaggle://")
    folder = Path(cache, "models", handle)
    for part in parts:
        part.save_to_preset(str(folder))
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        marker = folder.parent / ".complete" / folder.name / f"{file.relative_to(folder).as_posix()}.complete"
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    return folder


def resnet(side, **architecture):
    """A ResNet with random weights and a thousand classes, as the public ones have, and what reads its pictures."""
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[7], image_shape=(None, None, 3), **architecture
    )
    converter = keras_hub.layers.ResNetImageConverter(image_size=(side, side), scale=1 / 255)
    reads = keras_hub.models.ResNetImageClassifierPreprocessor(image_converter=converter)
    return keras_hub.models.ResNetImageClassifier(backbone, 1000, preprocessor=reads, activation="softmax")


def bert(**architecture):
    """A BERT with random weights, a vocabulary of as many entries as it takes, and what reads its texts."""
    backbone = keras_hub.models.BertBackbone(**architecture)
    pieces = [*"abcdefghijklmnopqrstuvwxyz0123456789.,'-()", "the", "film", "is", "of", "a", "not"]
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces, *(f"##{piece}" for piece in pieces[:36])]
    entries += [f"word{k}" for k in range(architecture["vocabulary_size"] - len(entries))]
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=list(dict.fromkeys(entries)), lowercase=True)
    return backbone, tokenizer, keras_hub.models.BertTextClassifierPreprocessor(tokenizer)
