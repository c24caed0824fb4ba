"""notebooks/other_tasks.md: every block runs unchanged, public names resolved to small presets with random weights."""

import io
import re
import socket
import subprocess
import sys

import keras
import keras_hub
import lanes
import numpy as np
import pytest

PAGE = lanes.ROOT / "notebooks" / "other_tasks.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {part.splitlines()[0]: part for part in TEXT.split("\n## ")[1:]}
BLOCKS = {title: re.findall(r"```python\n(.*?)```", part, re.S) for title, part in SECTIONS.items()}
BLOCKS = {title: blocks[0] for title, blocks in BLOCKS.items() if blocks}
MINILM = "all_minilm_l6_v2_en"


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty cache of kagglehub, no network, and the hub's answer for files that a preset does not have."""
    import kagglehub

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    download = kagglehub.model_download

    def look(handle, path):
        if not (tmp_path / "hub" / "models" / handle / path).is_file():
            raise ValueError(f"{path} is not present in the model files")  # as kagglehub says it
        return download(handle, path)

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(kagglehub, "model_download", look)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub"


def run(title):
    """Run a section's block as it is printed. Returns its names."""
    space = {"__name__": "__main__"}
    exec(compile(BLOCKS[title], title, "exec"), space)
    return space


def same_weights(one, other):
    return all(np.array_equal(*both) for both in zip(one.get_weights(), other.get_weights(), strict=True))


def resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )


def sentences(*texts, size):
    """The bytes of a SentencePiece vocabulary with T5's special tokens."""
    import sentencepiece

    model = io.BytesIO()
    special = dict(bos_id=-1, pad_id=0, eos_id=1, unk_id=2, pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=model, vocab_size=size, model_type="CHAR", **special
    )
    return model.getvalue()


def minilm():
    """A small BERT, with a vocabulary that holds the page's words whole or in letters."""
    words = (
        "what is the job of where to be found works as in and teaches was taught by sat next anna tom maria john "
        "baker pilot night watchman nurse berlin new york hong kong"
    )
    letters = [*"abcdefghijklmnopqrstuvwxyz@#.,?"]
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{k}" for k in letters[:26])]
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=[*entries, *words.split()], lowercase=True)
    backbone = keras_hub.models.BertBackbone(
        tokenizer.vocabulary_size(), num_layers=1, num_heads=2, hidden_dim=32, intermediate_dim=64, dropout=0
    )
    return backbone, tokenizer


# ---------------------------------------------------------------- the page


def test_every_class_of_the_page_has_the_preset_that_stands_beside_it():
    rows = re.findall(r"^\| \[.*?\]\(#(.*?)\) \| `(\w+)` \| `(.*?)` \| (\d+) \|$", TEXT, re.M)
    assert len(rows) == 6
    for anchor, name, preset, millions in rows:
        about = getattr(keras_hub.models, name).presets[preset]
        assert int(millions) == round(about["metadata"]["params"] / 1e6), preset
        assert anchor in {title.lower().replace(" ", "-") for title in SECTIONS}
        assert f'"{preset}"' in BLOCKS[{title.lower().replace(" ", "-"): title for title in SECTIONS}[anchor]]
    others = {
        "dfine_nano_coco": "DFineObjectDetector",
        "segformer_b0_ade20k_512": "SegFormerImageSegmenter",
        "sam_base_sa1b": "SAMImageSegmenter",
        "translategemma_4b_it": "Gemma3CausalLM",
        "gemma3_instruct_1b": "Gemma3CausalLM",
        "bart_base_en": "BartSeq2SeqLM",
    }
    prose = re.sub(r"```python\n.*?```", "", TEXT, flags=re.S)
    assert set(re.findall(r'`"(\w+)"`', prose)) - {preset for _, _, preset, _ in rows} == set(others)
    for preset, name in others.items():
        assert preset in getattr(keras_hub.models, name).presets and f"`{name}`" in prose
    about = keras_hub.models.Gemma3CausalLM.presets["translategemma_4b_it"]["metadata"]
    assert "55 languages" in about["description"] and round(about["params"] / 1e9, 1) == 4.3
    params = {name: about["metadata"]["params"] for name, about in keras_hub.models.ObjectDetector.presets.items()}
    assert round(params["retinanet_resnet50_fpn_coco"] / params["dfine_nano_coco"]) == 9
    # what the page says is missing
    assert not [name for name in dir(keras_hub.models) if re.match("marian|nllb", name, re.I)]
    assert not [name for name in keras_hub.models.Backbone.presets if "squad" in name]


def test_every_section_has_one_block_and_its_links_lead_somewhere():
    assert len(BLOCKS) == 7 and TEXT.count("```python") == 7
    for title in BLOCKS:
        assert re.search(r"What carries over: .*\]\(\d\d_\w+\.ipynb\)", SECTIONS[title]), title
    links = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(links) > 20 and [link for link in links if not (PAGE.parent / link).is_file()] == []


def test_the_blocks_are_formatted(tmp_path):
    for title, block in BLOCKS.items():
        (tmp_path / f"{title.lower().replace(' ', '_')}.py").write_text(block, encoding="utf-8")
    rules = ["--config", str(lanes.ROOT / "pyproject.toml"), str(tmp_path)]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, *rules], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


# ---------------------------------------------------------------- the blocks


def test_detection(shelf, capsys):
    converter = keras_hub.layers.RetinaNetImageConverter(
        image_size=(96, 96), pad_to_aspect_ratio=True, crop_to_aspect_ratio=False, scale=1 / 255
    )
    detector = keras_hub.models.RetinaNetObjectDetector(
        keras_hub.models.RetinaNetBackbone(resnet(), min_level=3, max_level=7, use_p5=False),
        num_classes=91,
        pre_logits_num_conv_layers=1,
        preprocessor=keras_hub.models.RetinaNetObjectDetectorPreprocessor(converter),
    )
    bias = np.full((9, 91), -9.0)  # of nine boxes at each place
    bias[:, keras_hub.utils.coco_name_to_id("dog")] = 3  # sees dogs everywhere
    labels, boxes = detector.classification_head.prediction_layer, detector.box_head.prediction_layer
    labels.kernel.assign(np.zeros(labels.kernel.shape))
    labels.bias.assign(bias.ravel())
    for weight in boxes.weights:  # the anchors as they are: keras_hub starts with a bias that shifts them
        weight.assign(np.zeros(weight.shape))
    lanes.shelve(shelf, "retinanet_resnet50_fpn_coco", detector)
    space = run("Detection")
    assert type(space["detector"]) is type(detector) and same_weights(space["detector"], detector)
    assert space["photo"].shape == (96, 96, 3) and space["found"]["boxes"].shape == (1, 100, 4)
    told = capsys.readouterr().out.splitlines()
    boxes = [
        line for line in told if re.fullmatch(r"dog, \d+% sure: rows -?\d+ to -?\d+, columns -?\d+ to -?\d+", line)
    ]
    assert 0 < len(boxes) == space["found"]["num_detections"][0] <= 100
    assert np.all(space["found"]["labels"][0, len(boxes) :] == -1)


def test_segmentation(shelf, capsys):
    segmenter = keras_hub.models.DeepLabV3ImageSegmenter(
        keras_hub.models.DeepLabV3Backbone(
            resnet(),
            projection_filters=8,
            low_level_feature_key="P2",
            spatial_pyramid_pooling_key="P5",
            upsampling_size=8,
            dilation_rates=[6, 12, 18],
        ),
        num_classes=21,
        preprocessor=keras_hub.models.DeepLabV3ImageSegmenterPreprocessor(
            keras_hub.layers.DeepLabV3ImageConverter(image_size=(64, 64))
        ),
    )
    lanes.shelve(shelf, "deeplab_v3_plus_resnet50_pascalvoc", segmenter)
    space = run("Segmentation")
    assert type(space["segmenter"]) is type(segmenter) and same_weights(space["segmenter"], segmenter)
    assert space["scores"].shape == (1, 64, 64, 21) and space["mask"].shape == (64, 64)
    assert len(space["names"]) == len(set(space["names"])) == 21
    told = re.findall(r"^(.*): (\d+)% of the picture$", capsys.readouterr().out, re.M)
    assert [name for name, _ in told] == [space["names"][k] for k in np.unique(space["mask"])]
    assert abs(sum(int(share) for _, share in told) - 100) <= len(told)


def test_translation(shelf, capsys):
    proto = sentences("translate English to German: The house is small.", "I have read this book twice.", size=32)
    tokenizer = keras_hub.models.T5Tokenizer(proto)
    backbone = keras_hub.models.T5Backbone(tokenizer.vocabulary_size(), 1, 2, 16, 32)
    reads = keras_hub.models.T5Seq2SeqLMPreprocessor(tokenizer, 64, 64)
    lanes.shelve(shelf, "t5_small_multi", keras_hub.models.T5Seq2SeqLM(backbone, preprocessor=reads))
    space = run("Translation")
    assert same_weights(space["translator"].backbone, backbone)
    assert len(space["translations"]) == 2 and all(isinstance(text, str) for text in space["translations"])
    assert all(len(text) <= 40 for text in space["translations"])  # a token is a letter here
    told = capsys.readouterr().out
    assert all(
        f"{text} -> {found}\n" in told for text, found in zip(space["texts"], space["translations"], strict=True)
    )
    assert space["translator"].generate(space["prompts"], max_length=40) == space["translations"]  # greedy


def test_summarisation(shelf, capsys):
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    tokenizer = keras_hub.models.BartTokenizer({piece: k for k, piece in enumerate([*pieces, "th"])}, ["t h"])
    backbone = keras_hub.models.BartBackbone(len(pieces) + 1, 1, 2, 16, 32, max_sequence_length=1024)
    reads = keras_hub.models.BartSeq2SeqLMPreprocessor(tokenizer)
    lanes.shelve(shelf, "bart_large_en_cnn", keras_hub.models.BartSeq2SeqLM(backbone, preprocessor=reads))
    space = run("Summarisation")
    assert same_weights(space["summariser"].backbone, backbone)
    assert isinstance(space["summariser"].sampler, keras_hub.samplers.BeamSampler)
    assert isinstance(space["summary"], str) and len(space["summary"]) <= 60
    assert capsys.readouterr().out.splitlines()[-1].endswith(": The town library will close for two weeks in August.")


def test_question_answering(shelf, capsys):
    backbone, tokenizer = minilm()
    lanes.shelve(shelf, MINILM, backbone, tokenizer)
    space = run("Question answering")
    assert space["spans"].shape == (240, 2) and space["found"].shape == (48, 2)
    for k in range(240):  # the span holds the answer, and nothing else
        start, end = space["spans"][k]
        assert tokenizer.detokenize(space["ids"][k, start : end + 1]) == space["answers"][k]
    assert {"rome", "new york"} <= set(space["answers"]) and (space["spans"][:, 0] < space["spans"][:, 1]).any()
    lengths = (space["ids"][192:] != tokenizer.pad_token_id).sum(axis=1, keepdims=True)
    assert (space["found"] < lengths).all()  # none in the padding
    loss = space["history"].history["loss"]
    assert len(loss) == 3 and loss[-1] < loss[0]
    assert not same_weights(space["bert"], backbone)  # tuned, not frozen
    assert re.search(r"^exact match: \d+% of 48 questions$", capsys.readouterr().out, re.M)


def test_recommendation(capsys):
    space = run("Recommendation")
    assert space["u"].shape == (400, 16) and space["v"].shape == (200, 16)
    told = dict(re.findall(r"^(.*): (\d+)% of later choices", capsys.readouterr().out, re.M))
    assert int(told["two towers"]) > 2 * int(told["what most take"]) > 10  # 5 by chance


def test_relation_extraction(shelf, capsys):
    backbone, tokenizer = minilm()
    lanes.shelve(shelf, MINILM, backbone, tokenizer)
    space = run("Relation extraction")
    assert space["x"].shape == (240,) and space["chances"].shape == (60, 3)
    np.testing.assert_allclose(space["chances"].sum(axis=1), 1, atol=1e-5)
    labels = dict(zip(space["x"], space["y"], strict=True))
    for text, label in labels.items():
        head, tail = re.search(r"@ (\w+) @", text)[1], re.search(r"# (\w+) #", text)[1]
        taught = "teaches" in text, "taught by" in text
        first = text.startswith("@")
        assert label == (0 if not any(taught) else 1 if first == taught[0] else 2), (text, head, tail)
    assert not {name for name in " ".join(space["x_new"]).split() if name in space["people"][:8]}
    assert len(space["history"].history["loss"]) == 4 and not same_weights(space["classifier"].backbone, backbone)
    assert np.abs(keras.ops.convert_to_numpy(space["classifier"].layers[-1].bias)).max() > 0
    assert re.search(r"micro-F1 without 'no relation': [01]\.\d\d; .* -> (no|teacher|pupil)", capsys.readouterr().out)
