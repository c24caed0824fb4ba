"""The standard arms: the right controls, compared with the right rivals, sharing what must be shared."""

import dataclasses
import re

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from kpretrain import arms, backbones, data
from kpretrain.comparison import compare
from kpretrain.data import Dataset, Part, images
from kpretrain.fingerprint import fingerprint
from kpretrain.transfer import Features


def squares(rows=30):
    """Images of a bright half, left or right: uint8 (n, 8, 8, 1)."""
    random = np.random.default_rng(0)
    y = np.arange(2 * rows + 100) % 2
    x = random.integers(0, 120, (len(y), 8, 8, 1)).astype("uint8")
    x[y == 0, :, :4] += 90
    x[y == 1, :, 4:] += 90
    first, rest = slice(0, 2 * rows), slice(2 * rows, None)
    return Dataset("squares", Part(x[first], y[first]), None, Part(x[rest], y[rest]), ["left", "right"], "made here")


def sentences():
    random = np.random.default_rng(0)
    y = np.arange(120) % 2
    words = np.array([["red", "warm", "sun", "a"], ["blue", "cold", "sea", "a"]])
    x = np.array([" ".join(random.choice(words[label], 5)) for label in y], dtype=object)
    return Dataset("sentences", Part(x[:60], y[:60]), None, Part(x[60:], y[60:]), ["warm", "cold"], "made here")


def encoder():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), keras.layers.Dense(8, "relu")]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def count_words(texts):
    vocabulary = ["red", "warm", "sun", "blue", "cold", "sea"]
    return np.array([[text.split().count(word) for word in vocabulary] for text in texts], "float32")


def test_names_and_contrasts():
    found = arms.images(squares(), encoder(), updates=3)
    assert list(found) == ["pixels", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert {name: arm.against for name, arm in found.items() if arm.against} == {
        "frozen": ("scratch", "frozen random"),
        "fine-tuned": ("scratch",),
    }
    longer = arms.images(squares(), encoder(), updates=3, pretraining_seconds=60, extra_updates=40)
    assert list(longer)[2] == "scratch, longer" and longer["fine-tuned"].against == ("scratch", "scratch, longer")
    assert longer["scratch, longer"].estimator.updates == 43
    charged = {name: arm.pretraining_seconds for name, arm in longer.items() if arm.pretraining_seconds}
    assert charged == {"frozen": 60, "fine-tuned": 60}
    assert list(arms.images(squares(), None)) == ["pixels"] and list(arms.texts(sentences(), None)) == ["TF-IDF"]


def test_scratch_and_fine_tuned_share_all_but_the_weights():
    flip = keras.layers.RandomFlip()
    found = arms.images(squares(), encoder(), augment=flip, updates=7, batch_size=5, learning_rate=0.01)
    scratch, tuned = (found[name].estimator.get_params(deep=False) for name in ("scratch", "fine-tuned"))
    different = {key for key in scratch if scratch[key] is not tuned[key] and scratch[key] != tuned[key]}
    assert different == {"weights", "encoder"}
    assert scratch["encoder"].get_config()["layers"][2:] == tuned["encoder"].get_config()["layers"][2:]
    assert scratch["augment"] is flip and scratch["updates"] == 7 and scratch["weights"] == "random"
    other = arms.images(squares(), encoder(), scratch={"learning_rate": 0.5})
    assert other["scratch"].estimator.learning_rate == 0.5 and other["fine-tuned"].estimator.learning_rate == 1e-3
    frozen, random = (found[name].estimator[0] for name in ("frozen", "frozen random"))
    assert isinstance(frozen, Features) and (frozen.weights, random.weights) == ("pretrained", "random")


def test_an_unknown_setting_of_training_is_refused():
    with pytest.raises(TypeError, match="learning_rat'"):
        arms.images(squares(), encoder(), learning_rat=0.1)
    with pytest.raises(TypeError, match="epochs"):
        arms.images(squares(), encoder(), scratch={"epochs": 3})


def test_several_encoders_stand_side_by_side():
    one = arms.images(squares(), encoder(), name="SimCLR", extra_updates=5)
    both = one | arms.images(squares(), encoder(), name="denoising", extra_updates=9)
    assert list(both)[-2:] == ["frozen (denoising)", "fine-tuned (denoising)"] and len(both) == 8
    assert both["fine-tuned (SimCLR)"].against == ("scratch", "scratch, longer")
    assert both["scratch, longer"].estimator.updates == 309


def test_arms_without_pretraining_are_the_same_beside_every_encoder():
    first, second = encoder(), encoder()
    second.set_weights([weight + 1 for weight in first.get_weights()])
    one, other = arms.images(squares(), first, name="SimCLR"), arms.images(squares(), second, name="denoising")
    for name in ("pixels", "scratch", "frozen random"):
        assert fingerprint(one[name].estimator) == fingerprint(other[name].estimator)
    assert fingerprint(one["frozen (SimCLR)"].estimator) != fingerprint(other["frozen (denoising)"].estimator)


def test_without_extra_updates_the_longer_arm_is_left_out(capsys):
    for extra in (0, None):
        found = arms.images(squares(), encoder(), pretraining_seconds=60, extra_updates=extra)
        assert "scratch, longer" not in found and found["fine-tuned"].against == ("scratch",)
    assert capsys.readouterr().out.count("no 'scratch, longer'") == 1  # said, where it was not asked for


def test_rows_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"rows uint8 \(n, height, width, channels\), not object \(60,\).*read_images"):
        arms.images(sentences(), None)
    with pytest.raises(ValueError, match="texts are rows of strings"):
        arms.texts(squares(), None)


def test_an_arm_checks_itself():
    assert arms.Arm(SVC(), against="scratch").against == ("scratch",)
    with pytest.raises(ValueError, match="pretraining_seconds"):
        arms.Arm(SVC(), pretraining_seconds=-1)
    with pytest.raises(ValueError, match="pipeline, not 'SVC'"):
        arms.Arm("SVC")


def test_all_image_arms_run_and_repeat_exactly(tmp_path):
    dataset = squares()
    found = arms.images(dataset, encoder(), updates=20, pretraining_seconds=1, extra_updates=10)
    found["my pixels"] = found["pixels"]
    first, again = (
        compare(found, dataset, [1, 5], 2, folder=tmp_path / name, progress=False) for name in ("one", "two")
    )
    assert first.table()["score"].tolist() == again.table()["score"].tolist()
    assert len(first.table()) == 7 * 2 * 2
    assert ("fine-tuned", "scratch, longer") in set(zip(*first.contrasts()[["arm", "against"]].T.values, strict=True))
    assert re.search("^Fine-tuned .*(over|against|and) scratch, longer", first.verdict(), flags=re.M)
    assert first.summary().loc["pixels", "5 labels"].startswith("100")


def test_all_text_arms_run(tmp_path):
    dataset, reads = sentences(), keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    found = arms.texts(dataset, reads, preprocess=count_words, updates=10)
    table = compare(found, dataset, [5], 2, folder=tmp_path, progress=False).table()
    assert table["arm"].unique().tolist() == ["TF-IDF", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert table[table["arm"] == "TF-IDF"]["score"].min() > 90


def on_disk(dataset, folder):
    """The same dataset with paths of PNGs in place of arrays."""
    parts = []
    for name in ("train", "test"):
        x, y = getattr(dataset, name)
        paths = np.array([str(folder / f"{name}-{number}.png") for number in range(len(y))], object)
        for path, image in zip(paths, x, strict=True):
            Image.fromarray(image.squeeze()).save(path)
        parts.append(Part(paths, y))
    return dataclasses.replace(dataset, train=parts[0], test=parts[1])


def named(monkeypatch, seconds):
    """Let the name "tiny" be a backbone that took so long."""

    def preprocess(rows):
        rows = np.asarray(rows)
        return data.read_images_once(rows, (8, 8))[..., :1] if rows.ndim == 1 else rows

    monkeypatch.setattr(backbones, "images", lambda name: backbones.Backbone(encoder(), preprocess, seconds))


def test_a_head_is_held_back_as_the_rows_ask_and_not_by_a_fixed_strength():
    """Many noisy features ask for a strong hand, a few clear ones for a light one; no strength serves both."""
    random = np.random.default_rng(0)
    y = np.tile([0, 1], 20)
    clear = random.normal(size=(40, 2)) * 0.3 + y[:, None]
    noisy = np.concatenate([clear + random.normal(size=(40, 2)), random.normal(size=(40, 500))], axis=1)
    light, strong = (arms.held_back([]).fit(x, y)[-1].best_params_["C"] for x in (clear, noisy))
    assert light >= 0.1 > strong
    words = arms.held_back([arms.TfidfVectorizer()], features=False)
    assert words.fit(["warm red", "cold blue"] * 4, y[:8]).predict(["a blue sea"]) == [1]


def test_a_head_that_is_held_back_copes_with_one_label_of_a_class_and_is_no_weaker_than_a_plain_one():
    """Ridge regression on the classes, which had this place, lost three points on ten classes of pixels."""
    digits = data.load("digits")
    x, y = arms.flatten(digits.train.x), digits.train.y
    held = arms.flatten(digits.validation.x), digits.validation.y
    plain, scores = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)), []
    for draw in range(4):
        order = np.random.default_rng(draw).permutation(len(y))
        few = np.concatenate([order[y[order] == digit][:10] for digit in range(10)])
        scores.append([100 * head.fit(x[few], y[few]).score(*held) for head in (arms.held_back([]), plain)])
    ours, theirs = np.mean(scores, axis=0)
    assert ours > theirs - 1
    first = np.array([np.flatnonzero(y == digit)[0] for digit in range(10)])
    one = arms.held_back([]).fit(x[first], y[first])
    assert one[-1].best_params_["C"] == 1 and one.score(*held) > 0.3
    uneven = np.r_[first, np.flatnonzero(y == 3)[1:20]]
    assert arms.held_back([]).fit(x[uneven], y[uneven]).score(x[first], y[first]) == 1


LINEAR = ["frozen", "frozen random"]


@pytest.mark.parametrize(
    ("standard", "dataset", "plain", "widths"),
    [(arms.images, lambda: data.load("digits"), "pixels", (256, 896)), (arms.texts, sentences, "TF-IDF", (192, 384))],
)
def test_what_is_frozen_is_used_well_unless_a_probe_is_asked_for(standard, dataset, plain, widths, capsys):
    found, probed = standard(dataset()), standard(dataset(), probe=LogisticRegression(C=7))
    assert all(isinstance(found[name].estimator[-1], GridSearchCV) for name in [plain, *LINEAR])
    heads = [probed[name].estimator[-1] for name in [plain, *LINEAR]]
    assert all(head.C == 7 for head in heads) and len(set(map(id, heads))) == 3  # fitting one leaves the others alone
    for name in LINEAR:
        assert probed[name].estimator[0].encoder.output.shape == (None, widths[0])
        assert found[name].estimator[0].encoder.output.shape == (None, widths[1])
        steps, probed_steps = ([type(step) for step in one[name].estimator[:-1]] for one in (found, probed))
        assert steps == probed_steps


def test_a_named_backbone_gives_all_arms_and_reads_each_file_once(tmp_path, monkeypatch, capsys):
    named(monkeypatch, 90.0)
    opened, real = [], images.open_image
    monkeypatch.setattr(images, "open_image", lambda path: opened.append(path) or real(path))
    dataset = on_disk(squares(), tmp_path)
    found = arms.images(dataset, "tiny", updates=10)
    assert list(found) == ["pixels", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert "no 'scratch, longer': each of its fits would take 90 s; extra_updates puts it in" in capsys.readouterr().out
    assert found["frozen"].pretraining_seconds == 90
    assert arms.images(dataset, "tiny", pretraining_seconds=1.0, extra_updates=0)["frozen"].pretraining_seconds == 1
    table = compare(found, dataset, [5, 20], 2, folder=tmp_path / "cells", progress=False).table()
    assert len(table) == 5 * 2 * 2
    seen_at_two_sizes = {path: opened.count(path) for path in opened}
    assert set(dataset.test.x) <= set(seen_at_two_sizes) and max(seen_at_two_sizes.values()) <= 2
    in_memory = compare(
        {"pixels": arms.images(squares(), None)["pixels"]}, squares(), [20], 2, folder=tmp_path, progress=False
    )
    pixels = table[(table["arm"] == "pixels") & (table["labels"] == 20)]["score"].mean()
    assert in_memory.table()["score"].mean() == pytest.approx(pixels, abs=3)


def test_paths_need_something_that_reads_them(tmp_path):
    with pytest.raises(ValueError, match=r"the rows are paths, which .* cannot read"):
        arms.images(on_disk(squares(), tmp_path), encoder())


def test_large_images_are_shrunk_for_the_pixel_baseline_alone():
    small = squares()
    large = dataclasses.replace(small, train=Part(small.train.x.repeat(8, 1).repeat(8, 2), small.train.y))
    features = arms.images(large, None)["pixels"].estimator[:2]
    assert features.fit_transform(large.train.x).shape == (60, 32 * 32)
    assert len(arms.images(small, None)["pixels"].estimator) == len(arms.images(large, None)["pixels"].estimator) - 1


def test_texts_alone_take_the_projects_own_bert(capsys):
    found = arms.texts(sentences())
    assert list(found) == ["TF-IDF", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert found["frozen"].pretraining_seconds > 60 and found["scratch"].estimator.learning_rate == 1e-3
    assert found["scratch"].estimator.preprocess.length == 16
    long = dataclasses.replace(sentences(), train=Part(np.array(["red sun " * 80] * 60, object), sentences().train.y))
    assert arms.texts(long)["frozen"].estimator[0].preprocess.length == 128  # the most it reads
    assert "rows of 128 tokens; 100.0 % of the texts are longer and are cut" in capsys.readouterr().out
