"""Transfer: frozen features computed once, fine-tuning that holds what it must, fits that repeat to the last bit."""

import contextlib
import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import cloudpickle
import joblib
import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import kpretrain
from kpretrain.transfer import Features, FineTune, all_layers, cut_encoder, finetune, fresh

layers = keras.layers


def make_images(n=60, seed=0):
    """Three classes of noisy 8x8 images, sorted by class: a bright third at the top, in the middle or below."""
    random = np.random.default_rng(seed)
    y = np.sort(np.arange(n) % 3)
    x = random.integers(0, 120, (n, 8, 8, 1))
    for image, label in zip(x, y, strict=True):
        image[label * 3 : label * 3 + 2] += 130
    return x.astype("uint8"), y


def make_encoder(seed=0, statistics=True):
    """A small network with BatchNormalization, one of it in a nested model, and statistics that are not the initial."""
    keras.utils.set_random_seed(seed)
    inner = keras.Sequential(
        [layers.Input((4, 4, 4)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()], name="inner"
    )
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same")(layers.Rescaling(1 / 255)(inputs))
    x = inner(layers.Dropout(0.2)(layers.BatchNormalization(momentum=0.9)(x)))
    encoder = keras.Model(inputs, layers.Flatten()(x))
    for layer in moving(encoder) if statistics else ():
        layer.set_weights([value + 0.1 for value in layer.get_weights()])
    return encoder


def moving(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNormalization)]


def statistics(model):
    return [value for layer in moving(model) for value in layer.get_weights()]


def same(first, second):
    return len(first) == len(second) and all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache folder for each test. Compiled networks are shared by all tests, since tracing is what takes long."""
    monkeypatch.setattr(finetune, "_MOST_NETWORKS", 20)
    monkeypatch.setattr(sys, "counted_calls", 0, raising=False)
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


@pytest.fixture(scope="module")
def encoder():
    return make_encoder()


@pytest.fixture(scope="module")
def images():
    return make_images()


@keras.saving.register_keras_serializable("test_transfer")
class Counting(keras.layers.Layer):
    """Passes its input on, and counts how often it was called: elsewhere, since what a class holds is a part of it."""

    def call(self, x):
        sys.counted_calls += 1
        return x


# ------------------------------------------------------------------------------------------------ scikit-learn


COLUMNS = layers.Identity()  # an encoder of tables of any width, as scikit-learn's checks bring them


@parametrize_with_checks([Features(COLUMNS), FineTune(COLUMNS, updates=60, learning_rate=0.05)])
def test_scikit_learn_conventions(estimator, check):
    try:
        check(estimator)
    except AssertionError:  # a pickled network holds the second in which it was pickled, which may just have ended
        if check.func.__name__ != "check_estimators_overwrite_params":
            raise
        check(estimator)


def test_an_encoder_in_a_pipeline_and_in_cross_validation(encoder, images):
    x, y = images
    pipeline = make_pipeline(Features(encoder), StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.8


def test_cloning_keeps_the_weights(encoder):
    for estimator in (Features(encoder), FineTune(encoder)):
        assert clone(estimator).encoder is encoder  # which no fit changes
    # the trap: Keras's own cloning draws new ones
    assert not same(keras.models.clone_model(encoder).get_weights(), encoder.get_weights())


@pytest.mark.parametrize("dump", [pickle, cloudpickle])
def test_pickling(encoder, images, dump):
    x, y = images
    classifier = FineTune(encoder, updates=5, augment=layers.RandomTranslation(0.1, 0.1), random_state=0)
    features = Features(encoder, weights="random", random_state=0)
    assert same(dump.loads(dump.dumps(classifier)).encoder.get_weights(), encoder.get_weights())
    classifier.fit(x, y)
    features.fit(x)
    again, features_again = dump.loads(dump.dumps((classifier, features)))
    assert np.array_equal(again.predict_proba(x), classifier.predict_proba(x))
    assert np.array_equal(features_again.transform(x), features.transform(x))


@pytest.mark.parametrize("estimator", [Features, FineTune])
def test_wrong_settings(estimator, encoder, images):
    with pytest.raises(ValueError, match="'pretrained' or 'random'"):
        estimator(encoder, weights="imagenet").fit(*images)
    with pytest.raises(ValueError, match="batch_size is 0"):
        estimator(encoder, batch_size=0).fit(*images)
    with pytest.raises(ValueError, match="call it on one batch first"):
        estimator(keras.Sequential([layers.Dense(2)])).fit(*images)
    with pytest.raises(ValueError, match="The encoder None is no Keras model"):
        estimator(None).fit(*images)
    with pytest.raises(ValueError, match="0 sample"):
        estimator(encoder).fit(images[0][:0], [])


# ------------------------------------------------------------------------------------------------ fresh


def test_fresh_weights_depend_on_the_seed_alone(encoder):
    before = encoder.get_weights()
    first = fresh(encoder, 1)
    keras.utils.set_random_seed(99)
    assert same(fresh(encoder, 1).get_weights(), first.get_weights())
    assert not same(fresh(encoder, 2).get_weights(), first.get_weights())
    assert same(encoder.get_weights(), before)
    assert all(not value.any() for value in statistics(first)[2::4])  # the moving means


def test_fresh_keeps_the_statistics_of_the_data():
    normalise = layers.Normalization(axis=None)
    normalise.adapt(np.array([[10.0], [30.0]]))
    encoder = keras.Sequential([layers.Input((1,)), normalise, layers.Dense(3)])
    drawn = fresh(encoder, 0)
    assert np.allclose(drawn.layers[0](np.array([[10.0], [30.0]])), [[-1], [1]])
    assert not np.array_equal(drawn.layers[1].kernel, encoder.layers[1].kernel)


def test_fresh_on_keras_hub():
    keras_hub = pytest.importorskip("keras_hub")
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16, max_sequence_length=6
    )
    drawn = fresh(bert, 0)
    assert type(drawn) is type(bert)
    assert not np.array_equal(drawn.token_embedding.get_weights()[0], bert.token_embedding.get_weights()[0])
    assert same(drawn.get_weights(), fresh(bert, 0).get_weights())

    pooled = keras.Model(bert.input, bert.output["pooled_output"])
    words = np.array(["a b", "b c", "c a", "a a"] * 3)

    def preprocess(texts):
        ids = np.array([[1, *(2 + "abc".index(word) for word in text.split())] for text in texts])
        return {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": ids > 0}

    assert Features(pooled, preprocess=preprocess).fit_transform(words).shape == (12, 8)
    classifier = FineTune(pooled, preprocess=preprocess, updates=5, weights="random", random_state=0)
    assert classifier.fit(words, words == "a b").predict_proba(list(words)).shape == (12, 2)
    with pytest.raises(ValueError, match=r"several outputs \(.*pooled_output"):
        Features(bert, preprocess=preprocess).fit_transform(words)


# ------------------------------------------------------------------------------------------------ frozen features


def test_features_are_the_encoders_in_evaluation_mode(encoder, images):
    x, _ = images
    expected = keras.ops.convert_to_numpy(encoder(x.astype("float32"), training=False))
    for size in (5, 7, 60, 1000):  # 5: so many chunks that the encoder is compiled
        features = Features(encoder, batch_size=size, cache=False).fit_transform(x)
        assert features.dtype == np.float32
        np.testing.assert_allclose(features, expected, atol=1e-6)


def test_more_dimensions_are_flattened(images):
    encoder = keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(2, 3)])
    assert Features(encoder).fit_transform(images[0]).shape == (60, 6 * 6 * 2)


def test_random_weights_are_drawn_once(encoder, images):
    x, _ = images
    random = Features(encoder, weights="random", random_state=3).fit(x)
    assert np.array_equal(random.transform(x), Features(fresh(encoder, 3)).fit_transform(x))
    unseeded = Features(encoder, weights="random").fit(x)
    assert np.array_equal(unseeded.transform(x), unseeded.transform(x))


def test_the_cache_spares_the_encoder(images, own_cache):
    x, _ = images
    encoder = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), Counting(), layers.Dense(3)])
    first = Features(encoder).fit_transform(x)
    sys.counted_calls = 0
    second = Features(copy.deepcopy(encoder), batch_size=9).fit_transform(x.copy())
    calls = sys.counted_calls  # deepcopy calls it too, but on no real batch
    assert isinstance(first, np.memmap) and isinstance(second, np.memmap)
    assert np.array_equal(first, second)
    assert len(list(own_cache.iterdir())) == 1
    Features(encoder).fit_transform(x)
    assert sys.counted_calls == calls


def test_the_cache_knows_weights_rows_and_preprocess(images, own_cache):
    x, _ = images
    encoder = make_encoder()

    def files():
        return len(list(own_cache.iterdir()))

    Features(encoder).fit_transform(x)
    first = Features(encoder).fit_transform(x[:30])
    assert files() == 2
    Features(encoder, preprocess=lambda x: x / 2).fit_transform(x)
    Features(encoder, preprocess=lambda x: x / 3).fit_transform(x)
    assert files() == 4
    encoder.layers[-1].trainable = False
    weights = encoder.get_weights()
    weights[0] = weights[0] + 0.5
    encoder.set_weights(weights)
    assert not np.array_equal(Features(encoder).fit_transform(x[:30]), first)
    assert files() == 5
    Features(encoder, cache=False).fit_transform(x)
    assert files() == 5


@pytest.mark.parametrize("damage", [lambda whole: whole[:-100], lambda whole: b"", lambda whole: b"x" * len(whole)])
def test_a_damaged_cache_is_built_again(encoder, images, own_cache, damage, capsys):
    first = np.array(Features(encoder).fit_transform(images[0]))
    (path,) = own_cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    again = Features(encoder).fit_transform(images[0])
    assert np.array_equal(again, first)
    assert f"{path}: the cached file cannot be read" in capsys.readouterr().out
    assert np.array_equal(np.load(path), first)


def test_a_cache_that_cannot_be_written(encoder, images, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("KPRETRAIN_CACHE", str(tmp_path / "file"))
    features = Features(encoder).fit_transform(images[0])
    assert features.shape == (60, 16)
    assert capsys.readouterr().out.count("the cache cannot be written") == 1


def test_a_preprocess_without_a_description_goes_without_the_cache(encoder, images, own_cache, capsys):
    class Halve:
        def __call__(self, x):
            return x / 2

    Features(encoder, preprocess=Halve()).fit_transform(images[0])
    assert "computed without the cache" in capsys.readouterr().out
    assert not own_cache.exists()


def test_files_are_known_by_their_contents(tmp_path, monkeypatch, own_cache):
    encoder = keras.Sequential([layers.Input((2,)), layers.Dense(3)])

    def read(paths):
        return np.array([[float(number) for number in open(path).read().split()] for path in paths])

    def found(folder, *numbers):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        for name, number in zip("ab", numbers, strict=True):
            with open(name, "w") as file:
                file.write(f"{number} 1")
            os.utime(name, (1, 1))
        return np.array(Features(encoder, preprocess=read).fit_transform(["a", "b"]))

    first = found("one", 3, 4)
    assert not np.array_equal(first, found("other", 5, 6))
    assert not np.array_equal(first, found("one", 7, 8))  # replaced in its place, of the same size and time
    assert np.array_equal(first, found("third", 3, 4)) and len(list(own_cache.iterdir())) == 3
    texts = Features(encoder, preprocess=lambda texts: np.array([[len(text), 1.0] for text in texts]))
    assert not np.array_equal(texts.fit_transform(["a text", "b"]), texts.fit_transform(["another text", "b"]))


NOTEBOOK = """
import keras, numpy as np

def slope(x):
    return {slope} * x

class Start(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return {start} * keras.ops.ones(shape, dtype)

@keras.saving.register_keras_serializable("notebook")
class Inner(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.table = np.array([{table}], "float32")
    def call(self, x):
        return x * self.table + {inner}

@keras.saving.register_keras_serializable("notebook")
class Outer(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.parts = [Inner()]
    def call(self, x):
        return self.parts[0](x) * {outer}

keras.saving.register_keras_serializable("notebook")(slope)

def make():
    keras.utils.set_random_seed(0)
    return keras.Sequential([
        keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), Outer(),
        keras.layers.Dense(3, activation=slope), keras.layers.Lambda(lambda x: x + {lambda_}),
    ])
"""
WRITTEN = dict(slope=1, start=1, table=1, inner=1, outer=1, lambda_=1)


def written(**changes):
    """An encoder of a notebook whose cell ran with these numbers in it."""
    space = {"__name__": "__main__"}
    exec(compile(NOTEBOOK.format(**WRITTEN | changes), "<cell>", "exec"), space)
    return space["make"]()


@pytest.mark.parametrize("change", ["slope", "table", "inner", "outer", "lambda_"])
def test_the_code_of_every_layer_counts(images, own_cache, change):
    x, _ = images
    first = np.array(Features(written()).fit_transform(x))
    assert np.array_equal(Features(written()).fit_transform(x), first)
    assert len(list(own_cache.iterdir())) == 1
    other = Features(written(**{change: 3})).fit_transform(x)
    assert not np.allclose(other, first)
    np.testing.assert_allclose(other, Features(written(**{change: 3}), cache=False).fit_transform(x), rtol=1e-5)


def test_another_process_finds_features_by_their_code(images, tmp_path, own_cache):
    first = np.array(Features(written()).fit_transform(images[0]))
    np.save(tmp_path / "x.npy", images[0])
    script = "import numpy as np\nfrom kpretrain.transfer import Features\n"
    for number in (1, 3):
        script += NOTEBOOK.format(**WRITTEN | {"inner": number})
        script += f"np.save('{number}.npy', Features(make()).fit_transform(np.load('x.npy')))\n"
    (tmp_path / "script.py").write_text(script)
    root = str(Path(kpretrain.__file__).parents[1])
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, env=os.environ | {"PYTHONPATH": root})
    np.testing.assert_allclose(np.load(tmp_path / "1.npy"), first, rtol=1e-5)
    assert not np.allclose(np.load(tmp_path / "3.npy"), first)


def test_a_layer_without_a_description_is_not_kept(images, own_cache, capsys):
    class Plain:
        pass

    class Holding(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.thing = Plain()

        def call(self, x):
            return x if self.thing else -x

    encoder = keras.Sequential([layers.Input((8, 8, 1)), layers.Flatten(), Holding(), layers.Dense(3)])
    assert Features(encoder).fit_transform(images[0]).shape == (60, 3)
    assert capsys.readouterr().out.count("computed without the cache") == 1 and not own_cache.exists()


def test_two_inputs():
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    encoder = keras.Model({"left": left, "right": right}, layers.Dense(4)(layers.Concatenate()([left, right])))
    texts = [f"{'yes' if row % 2 else 'no'} {row}" for row in range(20)]

    def preprocess(texts):
        numbers = np.array([[len(text), text.startswith("yes"), int(text.split()[1])] for text in texts], "float64")
        return {"left": numbers[:, :2], "right": numbers}

    features = Features(encoder, preprocess=preprocess, batch_size=1).fit_transform(texts)
    assert features.shape == (20, 4)
    labels = ["odd" if row % 2 else "even" for row in range(20)]
    classifier = FineTune(encoder, preprocess=preprocess, updates=5, random_state=0).fit(texts, labels)
    assert classifier.score(texts, labels) == 1
    scratch = FineTune(encoder, preprocess=preprocess, weights="random", updates=5, random_state=0).fit(texts, labels)
    assert scratch.predict(np.array(texts, object)).dtype.kind == "U"


def test_a_collapsed_encoder(images):
    constant = keras.Sequential(
        [layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4, kernel_initializer="zeros")]
    )
    for estimator in (Features(constant), FineTune(constant, updates=1)):
        with pytest.raises(ValueError, match="every row the same features: it has collapsed"):
            estimator.fit(*images).transform(images[0])
    equal_rows = np.repeat(images[0][:1], 5, axis=0)
    assert Features(constant).fit_transform(equal_rows).shape == (5, 4)


def test_an_encoder_full_of_nan(encoder, images, own_cache):
    broken = copy.deepcopy(encoder)
    broken.set_weights([np.full_like(value, np.nan) for value in encoder.get_weights()])
    for estimator in (Features(broken), FineTune(broken, updates=1)):
        with pytest.raises(ValueError, match=r"NaN or infinity in the features .* 60 of 60 rows"):
            estimator.fit(*images).transform(images[0])
    assert not own_cache.exists()
    rows = np.ones((3, 8, 8, 1))
    rows[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 3 rows, the first is row 1"):
        Features(encoder).fit_transform(rows)


# ------------------------------------------------------------------------------------------------ frozen below


def make_blocks(dropout=0.0):
    """Two blocks with a shortcut each, "one_out" and "two_out", and statistics that are not the initial."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", name="stem")(layers.Rescaling(1 / 255)(x))
    for name in ("one", "two"):
        y = layers.BatchNormalization(name=f"{name}_bn")(layers.Conv2D(4, 3, padding="same", name=f"{name}_conv")(x))
        x = layers.ReLU(name=f"{name}_out")(layers.Add(name=f"{name}_add")([x, layers.Dropout(dropout)(y)]))
    encoder = keras.Model(inputs, layers.Flatten()(x))
    for layer in moving(encoder):
        layer.set_weights([value + 0.1 for value in layer.get_weights()])
    return encoder


def moved(before, after):
    """The names of the layers whose weights differ."""
    return {
        layer.name
        for layer in before.layers
        if not same(layer.get_weights(), after.get_layer(layer.name).get_weights())
    }


def test_the_two_parts_are_the_whole(images):
    encoder = make_blocks()
    lower, upper = cut_encoder(encoder, "one_out")
    x = images[0].astype("float32")
    np.testing.assert_array_equal(upper(lower(x)), encoder(x))
    assert {layer.name for layer in upper.layers if layer.weights} == {"two_conv", "two_bn"}
    upper.set_weights([value + 1 for value in upper.get_weights()])
    assert not np.allclose(upper(lower(x)), encoder(x))  # a copy
    copied = pickle.loads(pickle.dumps(encoder))  # the graph of the encoder is still whole
    np.testing.assert_array_equal(copied(x), encoder(x))


@pytest.mark.parametrize("layer, message", [("one_conv", "reads stem too"), ("three", "No such layer: three")])
def test_a_place_where_it_cannot_be_cut(layer, message):
    with pytest.raises(ValueError, match=message):
        cut_encoder(make_blocks(), layer)


def test_all_layers_of_a_resnet_and_of_a_bert_stand_side_by_side(encoder):
    keras_hub = pytest.importorskip("keras_hub")
    resnet = keras_hub.models.ResNetBackbone([64], [3], [64, 8], [2, 1], [1, 2], "basic_block")
    one = keras.Model(resnet.input, layers.GlobalAveragePooling2D()(resnet.output))
    before, pictures = one.get_config(), np.random.default_rng(0).random((2, 16, 16, 3), "float32")
    wide = all_layers(one)
    maps = [np.asarray(stage) for stage in keras.Model(resnet.input, [*resnet.pyramid_outputs.values()])(pictures)]
    expected = [pool(stage, axis=(1, 2)) for pool in (np.mean, np.max) for stage in maps]
    np.testing.assert_allclose(wide(pictures), np.concatenate(expected, axis=1), atol=1e-5)
    assert one.get_config() == before and fresh(wide, 0).output.shape == wide.output.shape == (None, 144)

    bert = keras_hub.models.BertBackbone(20, 3, 2, 8, 16, max_sequence_length=6)
    vectors = kpretrain.text.sentence_encoder(bert)
    mask = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    tokens = {"token_ids": np.arange(12).reshape(2, 6), "segment_ids": 0 * mask, "padding_mask": mask}
    wide = np.asarray(all_layers(vectors)(tokens))
    assert wide.shape == (2, 3 * 8)
    np.testing.assert_allclose(wide[:, -8:], vectors(tokens), atol=1e-5)
    lower = np.asarray(keras.Model(bert.input, bert.get_layer("transformer_layer_0").output)(tokens))
    np.testing.assert_allclose(wide[0, :8], lower[0, :3].mean(axis=0), atol=1e-5)

    assert all_layers(encoder) is encoder  # of another kind


@pytest.mark.parametrize("augment", [None, layers.RandomTranslation(0.1, 0.1)], ids=["cached", "augmented"])
def test_what_is_frozen_stays_bit_by_bit_and_the_rest_moves(images, augment):
    encoder = make_blocks()
    before = encoder.get_weights()
    tuned = FineTune(encoder, augment=augment, freeze_until="one_out", updates=8, learning_rate=0.01, random_state=0)
    tuned.fit(*images)
    assert moved(encoder, tuned.encoder_) == {"two_conv"}  # two_bn is held
    assert same(encoder.get_weights(), before)
    whole = tuned.predict_proba(images[0])
    features = np.asarray(tuned.encoder_(images[0].astype("float32"), training=False), "float64")
    expected = softmax(features @ np.asarray(tuned.coef_, "float64") + tuned.intercept_, axis=1)
    np.testing.assert_allclose(whole, expected, atol=1e-5)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(tuned)).predict_proba(images[0]), whole)


def test_cached_activations_train_as_the_frozen_layers_would(images):
    """One update over all rows: with and without the cache the same step, which an update order cannot blur."""
    settings = dict(freeze_until="one_out", updates=3, batch_size=60, learning_rate=0.01, random_state=0)
    cached = FineTune(make_blocks(), **settings).fit(*images)
    in_loop = FineTune(make_blocks(), augment=layers.Rescaling(1.0), **settings).fit(*images)
    for one, other in zip(cached.encoder_.get_weights(), in_loop.encoder_.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_frozen_part_is_run_once(images, own_cache):
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, name="low")(Counting(name="counting")(inputs))
    encoder = keras.Model(inputs, layers.Flatten()(layers.Conv2D(4, 3)(x)))
    FineTune(encoder, freeze_until="low", updates=2, random_state=0).fit(*images)
    assert len(list(own_cache.glob("*.npy"))) == 1
    calls = sys.counted_calls
    FineTune(encoder, freeze_until="low", updates=2, random_state=1).fit(*images)
    assert sys.counted_calls - calls < 5  # the shape, and graphs that are built; no pass over the rows
    FineTune(encoder, freeze_until="low", updates=2, random_state=1, cache=False).fit(images[0][1:], images[1][1:])
    assert len(list(own_cache.glob("*.npy"))) == 1


def test_from_scratch_nothing_can_be_frozen(images):
    with pytest.raises(ValueError, match="no pretrained weights to freeze"):
        FineTune(make_blocks(), weights="random", freeze_until="one_out").fit(*images)


def test_a_feature_that_only_rounding_moves(images):
    """Some of MiniLM's outputs are such; standardising them would give the head coefficients of 1e30."""
    inputs = keras.Input((8, 8, 1))
    flat = layers.Flatten()(layers.Rescaling(1 / 255)(inputs))
    encoder = keras.Model(inputs, layers.Concatenate()([flat, layers.Rescaling(1e-20)(flat)]))
    head = FineTune(encoder, updates=0).fit(*images)
    assert np.abs(head.coef_).max() < 100 and head.score(*images) == 1


# ------------------------------------------------------------------------------------------------ fine-tuning


def test_batch_normalisation_is_held_when_pretrained_and_moves_from_scratch(encoder, images):
    before, first = encoder.get_weights(), statistics(encoder)
    tuned = FineTune(encoder, updates=5, random_state=0).fit(*images)
    assert len(first) == 8
    assert same(statistics(tuned.encoder_), first)
    assert not same(tuned.encoder_.get_weights(), before)
    scratch = FineTune(encoder, updates=5, weights="random", random_state=0).fit(*images)
    drawn = fresh(encoder, 0)
    for trained, start in zip(statistics(scratch.encoder_), statistics(drawn), strict=True):
        assert not np.array_equal(trained, start)
    assert same(encoder.get_weights(), before)  # the constructor's encoder
    assert encoder.trainable and moving(encoder)[0].trainable


def test_a_frozen_encoder_is_unfrozen_in_the_copy_only(images):
    encoder = make_encoder()
    encoder.trainable = False
    before = encoder.get_weights()
    tuned = FineTune(encoder, updates=5, random_state=0).fit(*images)
    assert not encoder.trainable
    assert same(statistics(tuned.encoder_), statistics(encoder))
    assert not np.array_equal(tuned.encoder_.layers[2].kernel, before[0])
    unfrozen = make_encoder()
    assert np.array_equal(
        tuned.predict_proba(images[0]),
        FineTune(unfrozen, updates=5, random_state=0).fit(*images).predict_proba(images[0]),
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_comes_first(encoder, images, classes):
    x, y = (part[images[1] < classes] for part in images)
    probe = make_pipeline(Features(encoder), StandardScaler(), LogisticRegression(max_iter=1000)).fit(x, y)
    tuned = FineTune(encoder, updates=0).fit(x, y)
    np.testing.assert_allclose(tuned.predict_proba(x), probe.predict_proba(x), atol=1e-4)
    assert same(tuned.encoder_.get_weights(), encoder.get_weights())
    barely = FineTune(encoder, updates=1, learning_rate=1e-9, random_state=0).fit(x, y)
    np.testing.assert_allclose(barely.predict_proba(x), tuned.predict_proba(x), atol=1e-4)
    other = FineTune(encoder, updates=1, learning_rate=1e-9, head_first=False, random_state=0).fit(x, y)
    assert np.abs(other.predict_proba(x) - tuned.predict_proba(x)).max() > 0.1


def test_rows_are_shuffled_and_batches_full():
    order = finetune._batches(10, 7, 4, np.random.default_rng(0))
    assert order.shape == (7, 4)
    passes = order.ravel()[:20].reshape(2, 10)
    assert [sorted(rows) for rows in passes] == [list(range(10))] * 2
    assert not np.array_equal(*passes) and not np.array_equal(passes[0], range(10))
    assert finetune._batches(3, 2, 8, np.random.default_rng(0)).shape == (2, 8)  # fewer rows than a batch


def test_all_updates_are_made(encoder, images):
    for updates in (7, 23):  # below and no multiple of the updates in one execution
        tuned = FineTune(encoder, updates=updates, random_state=0).fit(*images)
        assert int(list(finetune._networks.values())[-1].optimizer.iterations) == updates
        assert tuned.history_["update"][-1] == updates
        assert np.isfinite(tuned.history_["loss"]).all()


def test_scratch_learns(encoder, images):
    scratch = FineTune(encoder, weights="random", updates=60, learning_rate=0.01, random_state=0).fit(*images)
    assert scratch.score(*make_images(seed=1)) > 0.9
    assert scratch.history_["loss"][-1] < scratch.history_["loss"][0]


@pytest.mark.parametrize("weights", ["pretrained", "random"])
def test_cold_and_warm_networks_give_the_same_bits(encoder, images, weights):
    x, y = images
    augment = keras.Sequential([layers.RandomTranslation(0.1, 0.1), layers.GaussianNoise(0.1)])
    settings = {"augment": augment, "weights": weights, "updates": 12, "batch_size": 16}
    finetune._networks.clear()
    cold = FineTune(encoder, **settings, random_state=0).fit(x, y)
    kept = cold.predict_proba(x)
    assert len(finetune._networks) == 1
    other = FineTune(encoder, **settings, random_state=1).fit(x[::-1], y[::-1])
    assert len(finetune._networks) == 1
    faster = clone(cold).set_params(learning_rate=0.01).fit(x, y)
    assert len(finetune._networks) == (2 if keras.backend.backend() == "jax" else 1)  # the rate is no constant
    warm = clone(cold).fit(x, y)
    assert np.array_equal(warm.predict_proba(x), kept)
    assert np.array_equal(cold.predict_proba(x), kept)  # an earlier estimator owns its weights
    assert not np.array_equal(other.predict_proba(x), kept)
    finetune._networks.clear()
    keras.utils.set_random_seed(5)
    assert np.array_equal(clone(faster).fit(x, y).predict_proba(x), faster.predict_proba(x))  # at its own rate, then
    finetune._networks.clear()
    assert np.array_equal(clone(cold).fit(x, y).predict_proba(x), kept)


def test_arms_share_a_compiled_network_unless_one_of_them_holds_its_statistics(images):
    start = [keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)]
    flat, normalised = keras.Sequential(start), keras.Sequential([*start, layers.BatchNormalization()])
    for network, count in ((flat, 1), (normalised, 2)):
        finetune._networks.clear()
        for weights in ("pretrained", "random"):
            FineTune(network, weights=weights, updates=2, random_state=0).fit(*images)
        assert len(finetune._networks) == count


def test_a_class_that_is_defined_anew_trains_with_its_own_code(images):
    x, y = images
    finetune._networks.clear()
    found = []
    for settings in ({}, {"inner": 3}, {"slope": -5}, {}):
        found.append(FineTune(written(**settings), updates=5, random_state=0).fit(x, y).predict_proba(x))
    assert len(finetune._networks) == 3 and np.array_equal(found[0], found[3])
    finetune._networks.clear()
    assert np.array_equal(FineTune(written(slope=-5), updates=5, random_state=0).fit(x, y).predict_proba(x), found[2])


def test_an_augmentation_that_is_defined_anew_acts(images):
    def noise(size):
        space = {"__name__": "__main__", "keras": keras}
        exec(
            "@keras.saving.register_keras_serializable('notebook')\n"
            "class Shift(keras.layers.Layer):\n"
            f"    def call(self, x, training=False):\n        return x + {size} if training else x",
            space,
        )
        return space["Shift"]()

    def fitted(size):
        return FineTune(make_encoder(), augment=noise(size), updates=5, random_state=0).fit(*images).coef_

    assert not np.array_equal(fitted(1.0), fitted(90.0))


def test_augmentation_acts_in_training_only(encoder, images):
    x, y = images
    augment = layers.GaussianNoise(1.0)
    plain = FineTune(encoder, updates=5, random_state=0).fit(x, y)
    noisy = FineTune(encoder, augment=augment, updates=5, random_state=0).fit(x, y)
    assert not np.array_equal(plain.coef_, noisy.coef_)
    assert np.array_equal(noisy.predict_proba(x), noisy.predict_proba(x))
    still = FineTune(encoder, augment=augment, updates=0).fit(x, y)
    assert np.array_equal(still.coef_, FineTune(encoder, updates=0).fit(x, y).coef_)


@pytest.mark.parametrize("limit", ["_MOST_NETWORKS", "_MOST_PARAMETERS"])
def test_few_networks_are_kept(images, monkeypatch, limit):
    monkeypatch.setattr(finetune, limit, 1)
    finetune._networks.clear()
    for updates in (1, 2):
        FineTune(COLUMNS, updates=updates).fit(*images)
    (network,) = finetune._networks.values()
    assert int(network.optimizer.iterations) == 2


def test_threads_do_not_mix_their_fits(encoder, images):
    alone = [FineTune(encoder, updates=5, random_state=seed).fit(*images).predict_proba(images[0]) for seed in (0, 1)]
    together = [FineTune(encoder, updates=5, random_state=seed) for seed in (0, 1)]
    threads = [threading.Thread(target=each.fit, args=images) for each in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same([each.predict_proba(images[0]) for each in together], alone)


def test_a_rate_that_is_far_too_high(encoder, images):
    with pytest.raises(ValueError, match=r"loss became NaN or infinite after \d+ of 40 updates; lower learning_rate"):
        FineTune(encoder, updates=40, learning_rate=1e30, random_state=0).fit(*images)
    assert np.isfinite(FineTune(encoder, updates=5, random_state=0).fit(*images).coef_).all()


def test_one_class(encoder, images):
    with pytest.raises(ValueError, match="there is one class: 'a'"):
        FineTune(encoder).fit(images[0], ["a"] * 60)


# ------------------------------------------------------------------------------------------------ fingerprints

SCRIPT = """
import functools, keras, numpy as np, pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from kpretrain.fingerprint import fingerprint
from kpretrain.transfer import Features, fresh

scale = 255
def inner(x):
    return outer(x) if x in {"alpha", "beta", "gamma"} else np.mean(x) / scale
def outer(x, power=2, *, shift=1):
    return inner(x) ** power + shift
model = fresh(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu")]), 0)
values = [
    model, np.arange(6.0).reshape(2, 3), np.array(["a", "bc"], object), pd.DataFrame({"a": [1, 2]}), outer,
    lambda x: x + scale, functools.partial(outer, shift=2), make_pipeline(Features(model), LogisticRegression(C=2)),
    np.log1p, np.mean, {"x": 1, "y": [None, 1.5, (True, b"z")]}, {"p", "q", "r"}, keras.optimizers.Adam(0.1),
]
print(*map(fingerprint, values), sep="\\n")
"""


def test_another_process_gives_the_same_fingerprints_and_predictions(encoder, images, tmp_path):
    x, y = images
    classifier = FineTune(encoder, updates=5, random_state=0).fit(x, y)
    joblib.dump((classifier, x), tmp_path / "fitted")
    script = (
        "import joblib, sys\n"
        f"classifier, x = joblib.load({str(tmp_path / 'fitted')!r})\n"
        f"joblib.dump(classifier.predict_proba(x), {str(tmp_path / 'there')!r})\n"
    )
    file = tmp_path / "script.py"  # from Python 3.13 on, code after -c has its source, and code in exec has none
    file.write_text(script + SCRIPT, encoding="utf8")
    there = subprocess.run([sys.executable, file], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert np.array_equal(joblib.load(tmp_path / "there"), classifier.predict_proba(x))
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(compile(SCRIPT, str(file), "exec"), {"__name__": "__main__"})
    assert len(set(there.split())) == 13
    assert here.getvalue() == there


def test_two_processes_agree_on_code_that_has_no_source():
    code = f"exec(compile({SCRIPT!r}, '<nowhere>', 'exec'), {{'__name__': '__main__'}})"  # the bytecode stands in
    command = [sys.executable, "-c", code]
    one, other = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert one == other and len(set(one.split())) == 13
