"""The identity of code: the same for the same source wherever it stands, and never that of source that does not run."""

import linecache
import sys
import types

import pytest

from kpretrain import source

SAMPLE = '''
@staticmethod
def sample(x: int, /, y: list[str] = [], *args: int, key=None, **rest) -> dict[str, int]:
    """A docstring
      over two lines."""
    a = f"{x!r:>{y}} and {x=} {'nested'} " f"more {x:.2f}" "plain" rf"\\d{x}"
    match x:
        case {"a": [1, 2, *others], **more} if more:
            return others
        case str() | None | -1.5 | 2j:
            pass
        case Point(x=0, y=[_, *_]):
            ...
    s = [i * j for i in range(3) if i for j in {1, 2, 3}]
    with (open(x) as p, open(y) as q):
        p, q
    try:
        pass
    except* ValueError as error:
        raise KeyError from error
    class Inner(Base):
        """A docstring."""
        z: int = 3
        def m(self):
            return super().m()
    async def co():
        await x
        return {k: v async for k, v in x}
    return a[1:2, ::3], *s, (n := not b"\\x00" + u"u"), lambda k, *, d=1: (yield k)
'''

GOLDEN = "612f062bf6afbba67c74fc9845cd555726b6c9ef78b28f0fbf3730550e0d0c58"
LINE = "fs = [lambda: 1, lambda: 2, lambda x: x, lambda x: (lambda: x), (lambda a: lambda: a + 1)(3)]\n"


def made(text, name, file="/nowhere/sample.py"):
    """What a text defines, its source known under a file's name, as that of a notebook's cell is."""
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space = {"__name__": "__main__"}
    exec(compile(text, file, "exec", dont_inherit=True), space)
    return space[name]


def sample(text=SAMPLE, **where):
    return source.identity(made(text, "sample", **where).__func__)


def test_every_python_gives_the_same_identity():
    """The number was made by 3.11, and is the same in 3.12 and 3.13: records of all are pooled."""
    assert sample() == GOLDEN


def test_where_it_stands_and_what_is_said_about_it_do_not_count():
    other = SAMPLE.replace("A docstring", "Another").replace("    try:", "\n    # a remark\n    try:  # and one more")
    assert other.count("\n") == SAMPLE.count("\n") + 2
    assert sample("import os\n\n\n" + other, file="/elsewhere/moved.py") == sample()


@pytest.mark.parametrize(
    "old, new", [("1, 2, *", "1, 3, *"), (".2f", ".3f"), ("z: int = 3", "z: int = 4"), ("d=1", "d=2")]
)
def test_every_change_counts(old, new):
    assert SAMPLE.count(old) == 1
    assert sample(SAMPLE.replace(old, new)) != sample()


def test_lambdas_on_one_line_are_told_apart():
    found = [source.identity(each) for each in made(LINE, "fs")]
    again = [source.identity(each) for each in made("\n\n" + LINE.replace("fs", "functions"), "functions")]
    assert len(set(found)) == 5 and found == again


def test_a_file_that_was_edited_after_its_import_is_not_believed(tmp_path):
    file = tmp_path / "edited.py"
    file.write_text("def f():\n    return 1\n\n\ndef g():\n    return 3\n")
    old = types.ModuleType("edited")
    exec(compile(file.read_text(), str(file), "exec"), vars(old))
    file.write_text("def f():\n    return 2\n\n\n# a line more\ndef g():\n    return 3\n")
    new = types.ModuleType("edited")
    exec(compile(file.read_text(), str(file), "exec"), vars(new))
    assert source.identity(old.f) != source.identity(new.f)
    assert source.identity(old.g) == source.identity(new.g)  # it runs what stands there, if elsewhere


def test_a_module_that_is_loaded_anew_has_its_new_source(tmp_path):
    file = tmp_path / "anew.py"
    found = []
    for number in (1, 20, 1):
        file.write_text(f"def f():\n    return {number}\n")
        space = {}
        exec(compile(file.read_text(), str(file), "exec"), space)
        found.append(source.identity(space["f"]))
    assert found[0] == found[2] != found[1]


def test_without_source_the_bytecode_stands_in():
    def returned(number):
        space = {}
        exec(f"def f():\n    return {number}\n", space)
        return source.identity(space["f"])

    assert returned(1) == returned(1) != returned(2)


def test_whose_code_it_is(tmp_path, monkeypatch):
    assert source.origin("__main__") is source.origin("kpretrain.data") is source.origin(__name__) is None
    assert source.origin("json.decoder") == source.origin("builtins") == "python"
    assert source.origin("sklearn.svm").startswith("scikit-learn ")
    assert source.origin("sklearn.svm").count(".") == 2
    (tmp_path / "code.py").write_text("x = 1")  # under the name of a module of the standard library
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "code", raising=False)
    __import__("code")
    assert source.origin("code") is None
