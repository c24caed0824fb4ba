"""The standard arms: the right controls, compared with the right rivals, sharing what must be shared."""

import keras
import numpy as np
import pytest
from sklearn.svm import SVC

from kpretrain import arms
from kpretrain.comparison import compare
from kpretrain.data import Dataset, Part
from kpretrain.fingerprint import fingerprint
from kpretrain.transfer import Features, FineTune


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
    assert list(arms.images(squares())) == ["pixels"] and list(arms.texts(sentences())) == ["TF-IDF"]


def test_scratch_and_fine_tuned_share_all_but_the_weights():
    flip = keras.layers.RandomFlip()
    found = arms.images(squares(), encoder(), augment=flip, updates=7, batch_size=5, learning_rate=0.01)
    scratch, tuned = (found[name].estimator.get_params(deep=False) for name in ("scratch", "fine-tuned"))
    different = {key for key in scratch if scratch[key] is not tuned[key] and scratch[key] != tuned[key]}
    assert different == {"weights", "encoder"}
    assert scratch["encoder"].get_config()["layers"][2:] == tuned["encoder"].get_config()["layers"][2:]
    assert scratch["augment"] is flip and scratch["updates"] == 7 and scratch["weights"] == "random"
    other = arms.images(squares(), encoder(), scratch_learning_rate=0.5)
    assert other["scratch"].estimator.learning_rate == 0.5 and other["fine-tuned"].estimator.learning_rate == 1e-3
    frozen, random = (found[name].estimator[0] for name in ("frozen", "frozen random"))
    assert isinstance(frozen, Features) and (frozen.weights, random.weights) == ("pretrained", "random")


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


def test_no_extra_updates_leave_the_longer_arm_out():
    found = arms.images(squares(), encoder(), pretraining_seconds=60, extra_updates=0)
    assert "scratch, longer" not in found and found["fine-tuned"].against == ("scratch",)


def test_the_pretraining_seconds_become_updates():
    class Timed(FineTune):
        def fit(self, x, y):
            clock[0] += 5 + 0.1 * self.updates
            return self

    clock = [0.0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms.time, "perf_counter", lambda: clock[0])
        per_update = arms._update_seconds(Timed(encoder(), weights="random"), squares().train)
    assert per_update == pytest.approx(0.1)
    found = arms.images(squares(), encoder(), updates=3, pretraining_seconds=2.0)
    assert found["scratch, longer"].estimator.updates > 3 and "for 2 s of pretraining" in found["scratch, longer"].note


def test_rows_of_another_kind_are_refused():
    with pytest.raises(ValueError, match=r"rows uint8 \(n, height, width, channels\), not object \(60,\).*read_images"):
        arms.images(sentences())
    with pytest.raises(ValueError, match="texts are rows of strings"):
        arms.texts(squares())


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
    assert len(first.table()) == 7 * 2 * 2 and "fine-tuned against scratch, longer: " in first.verdict()
    assert first.summary().loc["pixels", "5 labels"].startswith("100")


def test_all_text_arms_run(tmp_path):
    dataset, reads = sentences(), keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    found = arms.texts(dataset, reads, preprocess=count_words, updates=10)
    table = compare(found, dataset, [5], 2, folder=tmp_path, progress=False).table()
    assert table["arm"].unique().tolist() == ["TF-IDF", "scratch", "frozen random", "frozen", "fine-tuned"]
    assert table[table["arm"] == "TF-IDF"]["score"].min() > 90
