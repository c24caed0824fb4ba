"""Fingerprints: equal for equal things, in every process, and different after any change that matters."""

import copy
import functools
import importlib
import importlib.metadata
import importlib.util
import linecache
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.sparse
import scipy.special
from keras import layers
from sklearn.linear_model import LogisticRegression

import kpretrain
from kpretrain import data, source
from kpretrain import fingerprint as names
from kpretrain.fingerprint import fingerprint

ROOT = os.path.dirname(os.path.dirname(kpretrain.__file__))


def make_encoder(statistics=True):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    if statistics:
        encoder.layers[1].moving_mean.assign([0.1, 0.2, 0.3])
    return encoder


def test_a_fingerprint_tells_apart():
    model = make_encoder()
    moved = make_encoder()
    moved.layers[0].kernel.assign_add(moved.layers[0].kernel * 0 + 1e-3)

    def function(n):
        return lambda x: x + n

    different = [
        model,
        moved,
        make_encoder(statistics=False),
        np.zeros(4),
        np.zeros(4, "float32"),
        np.zeros((2, 2)),
        np.array(["ab", "c"], object),
        np.array(["a", "bc"], object),
        LogisticRegression(),
        LogisticRegression(C=2),
        function(1),
        function(2),
        lambda: "a",
        lambda: "b",
        lambda x: np.sum(x),
        lambda x: np.mean(x),
        lambda x, y=1: x,
        lambda x, y=2: x,
        1,
        1.0,
        "1",
        True,
        None,
        [],
        (),
        {},
        [[1], 2],
        [1, [2]],
        data.Part(np.zeros(1), np.zeros(1)),
    ]
    assert len({fingerprint(value) for value in different}) == len(different)
    assert fingerprint(model) == fingerprint(make_encoder()) == fingerprint(copy.deepcopy(model))


def test_a_fingerprint_reads_vocabularies():
    def lookup(words):
        return layers.StringLookup(vocabulary=words)

    assert fingerprint(lookup(["a", "b"])) == fingerprint(lookup(["a", "b"]))
    assert fingerprint(lookup(["a", "b"])) != fingerprint(lookup(["a", "c"]))
    keras_hub = pytest.importorskip("keras_hub")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    first, second = (keras_hub.models.BertTokenizer(vocabulary=[*special, word]) for word in ("one", "two"))
    preprocessors = [
        keras_hub.models.BertTextClassifierPreprocessor(each, sequence_length=4) for each in (first, second)
    ]
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(preprocessors[0]) != fingerprint(preprocessors[1])
    tokenizers = pytest.importorskip("tokenizers")
    models = [tokenizers.models.WordLevel({f"w{n}": n for n in range(500)} | {last: 500}) for last in ("one", "two")]
    assert fingerprint(tokenizers.Tokenizer(models[0])) != fingerprint(tokenizers.Tokenizer(models[1]))


def test_no_fingerprint_without_a_stable_description():
    class Plain:
        pass

    with pytest.raises(TypeError, match=r"Plain object at 0x.* has no description"):
        fingerprint({"arm": [Plain()]})
    with pytest.raises(TypeError, match="has no description"):
        fingerprint(lambda plain=Plain(): plain)  # noqa: B008


WRITTEN = """
import keras
from sklearn.base import BaseEstimator

class Arm(BaseEstimator):
    def fit(self, x, y):
        return {one}

class Layer(keras.layers.Layer):
    def call(self, x):
        return x + {one}
"""


@pytest.mark.parametrize("name", ["Arm", "Layer"])
def test_a_class_of_a_notebook_counts_with_its_code(name):
    def written(one, module="__main__"):
        space = {"__name__": module}
        exec(compile(WRITTEN.format(one=one), "cell", "exec"), space)
        return fingerprint(space[name]())

    assert written(1) == written(1) != written(2)
    assert written(1, "helpers_of_mine") != written(2, "helpers_of_mine")
    assert written(1, "sklearn.some_module") == written(2, "sklearn.some_module")  # its version tells


def test_sparse_arrays_are_told_apart_by_their_numbers():
    one, two = scipy.sparse.eye_array(3, format="csr"), scipy.sparse.csr_array(np.diag([1.0, 1.0, 2.0]))
    other = scipy.sparse.csr_array(np.eye(3)[[1, 0, 2]])
    assert len({fingerprint(value) for value in (one, two, other)}) == 3
    assert fingerprint(one) == fingerprint(one.copy())


# ------------------------------------------------------------------------------------------------ code

CODE = """
import dataclasses, enum, functools, typing
import numpy as np
from sklearn.base import BaseEstimator

SCALE = 2
TABLE = {"a": [1, 2]}

class Base:
    ratio = 0.5
    def halve(self, x):
        return x * self.ratio

class Kind(enum.Enum):
    ONE = 1

class Point(typing.NamedTuple):
    x: int = 3
    def double(self):
        return 2 * self.x

@dataclasses.dataclass(frozen=True)
class Step(Base):
    factor: float = 1.5
    names: list = dataclasses.field(default_factory=list)

    @property
    def twice(self):
        return 2 * self.factor

    @staticmethod
    def plus(x):
        return x + 10

    def __call__(self, x):
        '''Say what it does.'''
        return super().halve(x) * self.twice

class Model(BaseEstimator):
    def __init__(self, step=None):
        self.step = step
    def fit(self, x, y, weight=None):
        return self
    def predict(self, x):
        return outer(x)

def helper(x, shift=7):
    def inner(y):
        return y + 4
    # a remark
    return inner(x) * SCALE + shift + TABLE["a"][0] + Kind.ONE.value

@functools.lru_cache
def cached(x):
    return x - 9

def outer(x, depth=0):
    return helper(x) + cached(x) + Step()(x) + Point().double() if depth else outer(x, depth + 1)
"""
CHANGES = {
    "a constant": ("SCALE = 2", "SCALE = 3"),
    "a table": ("[1, 2]", "[5, 2]"),
    "a class attribute": ("0.5", "0.6"),
    "a method of a base class": ("x * self.ratio", "x / self.ratio"),
    "a member": ("ONE = 1", "ONE = 11"),
    "a field of a tuple": ("x: int = 3", "x: int = 33"),
    "a method of a tuple": ("2 * self.x", "3 * self.x"),
    "a field": ("= 1.5", "= 2.5"),
    "a property": ("2 * self.factor", "3 * self.factor"),
    "a static method": ("x + 10", "x + 11"),
    "a call": (".halve(x) * ", ".halve(x) + "),
    "a default": ("shift=7", "shift=8"),
    "an inner function": ("y + 4", "y + 5"),
    "a wrapped function": ("x - 9", "x - 8"),
}


def imported(folder, name, text):
    """A module of the reader's, from a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["outer", "Model"])
def test_code_counts_with_all_that_it_calls(tmp_path, change, name):
    old, new = CHANGES[change]
    assert CODE.count(old) == 1
    before, after = imported(tmp_path / "1", "mine", CODE), imported(tmp_path / "2", "mine", CODE.replace(old, new))
    assert fingerprint(getattr(before, name)) != fingerprint(getattr(after, name))


def test_remarks_and_the_place_of_code_count_for_nothing(tmp_path):
    other = CODE.replace("# a remark", "# another\n\n").replace("def helper", "def idle():\n    pass\n\n\ndef helper")
    before, after = imported(tmp_path, "mine", CODE), imported(tmp_path, "yours", other)
    for name in ("outer", "Model", "Step", "Point"):
        assert fingerprint(getattr(before, name)) == fingerprint(getattr(after, name))
    assert fingerprint(before.Step(2.0)) == fingerprint(after.Step(2.0)) != fingerprint(after.Step(3.0))
    assert fingerprint(before.Kind.ONE) == fingerprint(after.Kind.ONE)
    # a part of it in a file of its own
    start, end = CODE.index("class Base"), CODE.index("class Kind")
    imported(tmp_path, "base", CODE[start:end])
    split = imported(tmp_path, "split", CODE[:start] + "from base import Base\n\n" + CODE[end:])
    assert fingerprint(split.outer) == fingerprint(before.outer)


def test_a_constant_counts_as_it_is_now(tmp_path):
    mine = imported(tmp_path, "mine", CODE)
    before = fingerprint(mine.Model())
    mine.TABLE["a"].append(3)
    assert fingerprint(mine.Model()) != before
    mine.TABLE["a"].pop()
    assert fingerprint(mine.Model()) == before


@pytest.mark.parametrize("how", ["mine.outer(x)", "package.mine.outer(x)", "inside(x)", "inside_module(x)"])
def test_code_in_another_file_is_found(tmp_path, how):
    text = f"""
        import types
        import mine
        package = types.ModuleType("package")
        package.mine = mine
        def inside(x):
            from mine import outer as renamed
            return renamed(x)
        def inside_module(x):
            import mine as renamed
            return [renamed.outer(each) for each in x]
        def call(x):
            return {how}
        """

    def found(folder, code):
        imported(tmp_path / folder, "mine", code)
        return fingerprint(imported(tmp_path / folder, "caller", textwrap.dedent(text)).call)

    assert found("1", CODE) == found("2", CODE) != found("3", CODE.replace("y + 4", "y + 5"))


def test_equal_code_with_other_values_does_not_change_places():
    def scale(n):
        return lambda x: x * n

    def layer(n):
        class Scale:
            def __call__(self, x):
                return x * n

        return Scale

    for make in (scale, layer):
        assert fingerprint([make(1), make(2)]) == fingerprint([make(1), make(2)]) != fingerprint([make(2), make(1)])


def test_circles_end(tmp_path):
    text = "class A:\n    def f(self):\n        return B, self\n\n"
    text += "class B(A):\n    def f(self):\n        return super().f(), A, g\n"
    text += "def g(n):\n    return g(n - 1), h\n\ndef h():\n    return g, B, ALL\n\nALL = [g, h, A, {'b': B}]\n"
    mine, other = imported(tmp_path, "mine", text), imported(tmp_path, "other", text.replace("n - 1", "n - 2"))
    for name in ("A", "B", "g", "h", "ALL"):
        assert fingerprint(getattr(mine, name)) != fingerprint(getattr(other, name))


def test_a_closure_that_is_not_filled_yet():
    def outer():
        def inner():
            return later

        found = fingerprint(inner)
        later = 3
        assert found != fingerprint(inner)

    outer()


def test_what_is_installed_counts_with_its_version(monkeypatch):
    values = [LogisticRegression(), make_encoder(), lambda: np.mean, scipy.sparse.csr_array, functools.partial(np.sum)]
    before = [fingerprint(value) for value in values]
    without = [fingerprint(value, versions=False) for value in values]
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: version(name) + "+local")
    source._origin.cache_clear()
    assert [fingerprint(value) for value in values] == before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0.1")
    source._origin.cache_clear()
    after = [fingerprint(value) for value in values]
    pooled = [fingerprint(value, versions=False) for value in values]
    source._origin.cache_clear()
    assert not set(before) & set(after) and pooled == without  # records of several machines


def test_instances_that_are_installed_have_a_name():
    from scipy.stats import norm, uniform

    assert (
        len({fingerprint(value) for value in (norm, uniform, lambda: norm, np.log, np.exp, scipy.special.expit)}) == 6
    )
    tensorflow = pytest.importorskip("tensorflow")
    silent = tensorflow.data.Dataset.range(3)
    for value in (np.frompyfunc(lambda x: x, 1, 1), silent):  # their repr leaves out what matters
        with pytest.raises(TypeError, match="has no description"):
            fingerprint(value)


def test_another_process_says_the_same(tmp_path):
    (tmp_path / "mine.py").write_text(CODE)
    script = "import mine\nfrom kpretrain.fingerprint import fingerprint\nlocal = lambda x: mine.outer(x)\n"
    script += "print(*map(fingerprint, (mine.outer, mine.Model(mine.Step()), mine.Point(), local)))"
    (tmp_path / "script.py").write_text(script)
    found = {
        subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": ROOT},
            stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1 and len(set(found.pop().split())) == 4


def test_a_model_of_ours_is_the_same_before_and_after_it_is_used():
    class Own(keras.Model):
        def __init__(self, **kwargs):
            inputs = keras.Input((4,))
            super().__init__(inputs, layers.Dense(2)(inputs), **kwargs)
            self.scale = [1.5, {"a": np.ones(3)}]

    keras.utils.set_random_seed(0)
    model = Own()
    before = fingerprint(model)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    model.predict(np.ones((2, 4)), verbose=0)
    assert fingerprint(model) == before
    model.scale[1]["a"][1] = 5
    assert fingerprint(model) != before


def test_the_code_of_the_course_counts_as_a_whole(tmp_path, monkeypatch):
    (tmp_path / "tools").mkdir()
    for file in ("one.py", "tools/page.py"):
        (tmp_path / file).write_text("SCALE = 2\n")
    found = []
    for file in ("tools/page.py", "one.py", "one.py"):
        found.append(source.files_hash(tmp_path))
        (tmp_path / file).write_text("SCALE = 3\n")
    assert found[0] == found[1] != found[2]  # no arm can reach tools
    before, without = fingerprint(data.Part), fingerprint(data.Part, versions=False)
    monkeypatch.setattr(source, "_COURSE", "kpretrain of another day")
    source._origin.cache_clear()
    after, pooled = fingerprint(data.Part), fingerprint(data.Part, versions=False)
    source._origin.cache_clear()
    assert after != before and pooled == without


def test_the_files_of_the_course_are_read_when_it_is_imported(tmp_path):
    """What is edited while a notebook is open does not run there, so it must not name what that notebook keeps."""
    shutil.copytree(Path(kpretrain.__file__).parent, tmp_path / "kpretrain", ignore=shutil.ignore_patterns("__pyc*"))
    edit = f"open({str(tmp_path / 'kpretrain' / 'words.py')!r}, 'a').write('SCALE = 3')\n"
    ask = "print(source.origin('kpretrain'))\n"
    found = [
        subprocess.run(
            [sys.executable, "-c", f"from kpretrain import source\n{code}"], cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout
        for code in (ask, edit + ask, ask)
    ]  # fmt: skip
    assert found[0] == found[1] != found[2]


def made(text, name, file):
    """What a text defines, its source known under a file's name, as that of a notebook's cell is."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    exec(compile(text, file, "exec", dont_inherit=True), space := {"__name__": "__main__"})
    return space[name]


def test_records_know_code_by_its_source_which_every_python_reads_alike(monkeypatch):
    text = "def scaled(x):\n    return x * 2\n"
    one, moved = made(text, "scaled", "/nowhere/1.py"), made("\n\n" + text, "scaled", "/nowhere/2.py")
    other = made(text.replace("2", "3"), "scaled", "/nowhere/3.py")
    kept, told = fingerprint(one), fingerprint(one, versions=False)
    assert fingerprint(moved) == kept != fingerprint(other)
    assert fingerprint(moved, versions=False) == told != fingerprint(other, versions=False)
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert fingerprint(one) != kept and fingerprint(one, versions=False) == told


@pytest.mark.parametrize(
    "text",
    ["value = [(\n    lambda x: '''\n{}''')][0]\n", "value = [\n    lambda x: [\n        x,\n        {}]\n][0]\n"],
)
def test_a_source_that_is_hard_to_cut_out_is_told_apart_all_the_same(text):
    one, again, other = (made(text.format(n), "value", f"/nowhere/odd{k}.py") for k, n in enumerate((2, 2, 3)))
    found = [fingerprint(each, versions=False) for each in (one, again, other)]
    assert found[0] == found[1] != found[2]


LINE = "fs = [lambda: 1, lambda: 2, lambda x: x, lambda x: (lambda: x), (lambda a: lambda: a + 1)(3)]\n"


def test_lambdas_on_one_line_are_told_apart():
    found = [fingerprint(each) for each in made(LINE, "fs", "/nowhere/line.py")]
    again = [fingerprint(each) for each in made("\n\n" + LINE.replace("fs", "functions"), "functions", "/nowhere/4.py")]
    assert found == again and len(set(found)) == 5


def test_what_runs_counts_and_not_what_stands_in_the_file_by_now(tmp_path):
    old = imported(tmp_path, "mine", "def f(x):\n    return x + 1\n")
    before = fingerprint(old.f)
    (tmp_path / "mine.py").write_text("def f(x):\n    return x + 2\n")
    linecache.checkcache()
    assert fingerprint(old.f) == before
    new = imported(tmp_path, "mine", "def f(x):\n    return x + 2\n")
    assert fingerprint(new.f) != before


def test_whose_code_it_is(tmp_path, monkeypatch):
    assert source.origin("__main__") is source.origin(__name__) is None
    assert source.origin("json.decoder") == source.origin("builtins") == "python"
    assert source.origin("sklearn.svm").startswith("scikit-learn ")
    assert source.origin("sklearn.svm").count(".") == 2
    assert source.origin("kpretrain.data").startswith("kpretrain ")
    monkeypatch.syspath_prepend(tmp_path)  # a file of one's own with a name of the standard library's
    monkeypatch.delitem(sys.modules, "code", raising=False)
    (tmp_path / "code.py").write_text("")
    importlib.import_module("code")
    assert source.origin("code") is None


# ------------------------------------------------------------------------------------------------ rows


def test_rows_are_numbers_texts_or_the_contents_of_files(tmp_path, monkeypatch):
    rows_fingerprint = names.rows_fingerprint
    different = [[1, 2], [1.0, 2.0], [[1, 2]], ["1", "2"], ["2", "1"], ["12"], [], [True, False]]
    assert len({rows_fingerprint(rows) for rows in different}) == len(different)
    assert rows_fingerprint(["a", "bc"]) == rows_fingerprint(np.array(["a", "bc"])) == rows_fingerprint(("a", "bc"))
    found = []
    for folder, content in (("one", b"first"), ("other", b"other"), ("third", b"first")):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        (tmp_path / folder / "a.png").write_bytes(content)
        found.append(rows_fingerprint(np.array(["a.png", "no file"], object)))
        assert found[-1] == rows_fingerprint([tmp_path / folder / "a.png", "no file"])
    assert found[0] == found[2] != found[1]


# ------------------------------------------------------------------------------------------------ what must never be
# taken for something else: each of these once differed, or could differ, under one identity

CHANGED = {
    "a layer's call in a functional model": (
        """
        import keras
        def scaled(x):
            return x * {}
        class Scaled(keras.layers.Layer):
            def call(self, x):
                return scaled(x)
        def made():
            inputs = keras.Input((4,))
            return keras.Model(inputs, keras.layers.Dense(2, "relu", kernel_initializer="ones")(Scaled()(inputs)))
        value = made()
        """
    ),
    "an activation": (
        """
        import keras
        def steep(x):
            return x * {}
        value = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, steep, kernel_initializer="ones")])
        """
    ),
    "what a Lambda layer is given": (
        """
        import keras
        def steep(x):
            return x * {}
        given = dict(arguments=dict(inner=steep), output_shape=(4,))
        value = keras.layers.Lambda(lambda x, inner: inner(x), **given)
        """
    ),
    "a decorator that is a class": (
        """
        import functools
        class Times:
            def __init__(self, function):
                functools.update_wrapper(self, function)
                self.number = {}
            def __call__(self, x):
                return self.number * self.__wrapped__(x)
        @Times
        def value(x):
            return x
        """
    ),
    "a call that is remembered": (
        """
        import functools
        class A:
            @functools.lru_cache
            def __call__(self, x):
                return x + {}
        value = A
        """
    ),
    "the type of a named tuple": (
        """
        import typing
        class Point(typing.NamedTuple):
            x: int = 1
            def double(self):
                return {} * self.x
        value = Point()
        """
    ),
    "a factory of a dataclass": (
        """
        import dataclasses
        def made():
            return [{}]
        @dataclasses.dataclass
        class value:
            x: list = dataclasses.field(default_factory=made)
        """
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_change_is_seen(tmp_path, what):
    def found(number, folder):
        text = textwrap.dedent(CHANGED[what]).replace("{}", str(number))
        return fingerprint(imported(tmp_path / folder, "mine", text).value)

    assert found(2, "1") == found(2, "2") != found(3, "3")


def test_equal_names_in_two_modules_do_not_change_places(tmp_path):
    def found(folder, one, other):
        imported(tmp_path / folder, "one", f"SCALE = {one}\ndef scaled(x):\n    return x * SCALE\n")
        imported(tmp_path / folder, "other", f"SCALE = {other}\ndef scaled(x):\n    return x * SCALE\n")
        text = "import one, other\ndef call(x):\n    return one.scaled(x) - other.scaled(x) + one.SCALE - other.SCALE\n"
        return fingerprint(imported(tmp_path / folder, "caller", text).call)

    assert found("1", 2, 3) == found("2", 2, 3) != found("3", 3, 2)


def test_a_module_that_only_a_call_imports_is_read(tmp_path, monkeypatch):
    """Before the first call it is not there yet, and what stands in it counts all the same."""

    def found(folder, number):
        package = tmp_path / folder / "mine_lazy"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("def call(x):\n    from . import late\n    return late.scaled(x)\n")
        (package / "late.py").write_text(f"def scaled(x):\n    return x * {number}\n")
        for name in ("mine_lazy", "mine_lazy.late"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(tmp_path / folder)
            return fingerprint(importlib.import_module("mine_lazy").call)

    assert found("1", 2) == found("2", 2) != found("3", 3)


def test_names_that_keras_counts_up_do_not_count():
    """The first layer of a kind is called as some of its settings are: "activation", "embeddings", "add"."""
    makes = [
        lambda: layers.Activation("relu"),
        lambda: layers.Lambda(keras.ops.negative),
        lambda: layers.Lambda(lambda x: -x),
        lambda: layers.Embedding(3, 2, embeddings_initializer="ones"),
        lambda: keras.Sequential([layers.Dropout(0.5), layers.Activation("tanh"), layers.ReLU()]),
    ]
    keras.backend.clear_session()
    found = [[fingerprint(make()) for _ in range(3)] for make in makes]
    assert all(len(set(each)) == 1 for each in found) and len({each[0] for each in found}) == len(makes)


def test_sets_of_classes_are_the_same_in_any_order():
    class A:
        pass

    class B:
        def f(self):
            return A

    assert fingerprint({A, B}) == fingerprint(dict.fromkeys([B, A]).keys() | set())


def test_rows_are_known_by_what_stored_records_hold():
    """`settings["rows"]` of a record is made of these: another number here, and no stored record can be pooled."""
    found = [names.rows_fingerprint(rows)[:16] for rows in (np.arange(12, dtype="uint8").reshape(3, 2, 2), ["a", "bc"])]
    assert found == ["a1e289bfdc8be2d0", "28240bd64f0e9c8a"]
