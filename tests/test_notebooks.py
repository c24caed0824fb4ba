"""The notebooks: their anatomy, the outputs they are committed with, their runs, and the code the reader sees."""

import ast
import itertools
import os
import re
import runpy
import string
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest

from kpretrain import Comparison, results
from kpretrain.tools import run as course

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOLUTIONS = sorted((ROOT / "notebooks" / "solutions").glob("*.ipynb"))
by_stem = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
all_by_stem = pytest.mark.parametrize("path", NOTEBOOKS + SOLUTIONS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def printed(cell):
    return "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")


def seconds_of(notebook):
    return float(re.search(r"· ([\d.]+) s\b", printed(code_cells(notebook)[-1])).group(1))


# ---------------------------------------------------------------- anatomy


@by_stem
def test_a_notebook_has_its_parts_in_order(path):
    notebook = nbformat.read(path, as_version=4)
    header = notebook.cells[0]
    assert header.metadata.tags == ["header"]
    assert header.source.startswith(f"# {path.stem[:2]} · ")
    for part in ("**You will be able to**", "**Before this:**", "**Time:**", "[map of the course](README.md)"):
        assert part in header.source, part
    verbs = re.findall(r"^- ", header.source, flags=re.M)
    assert 3 <= len(verbs) <= 5
    # 15 names the backend that it exports from before all else
    setup, settings = [cell for cell in code_cells(notebook) if "KERAS_BACKEND" not in cell.source][:2]
    assert setup.metadata.tags == ["setup"]
    assert "settings = kp.profile(" in settings.source and "fast=" in settings.source and "full=" in settings.source
    text = prose(notebook)
    parts = ["## Spot the bug", "## Exercise", "## What you learned", "## References"]
    logged = f"\n## {path.stem[:2]} " in (ROOT / "notebooks" / "trials.md").read_text(encoding="utf8")
    if logged:
        assert "(trials.md)" in text
    else:
        parts.insert(3, "## What did not work")
    positions = [text.find(part) for part in parts]
    assert -1 not in positions and positions == sorted(positions), dict(zip(parts, positions, strict=True))
    assert "https://arxiv.org/abs/" in text
    assert code_cells(notebook)[-1].source == "kp.stamp()"
    assert [c for c in code_cells(notebook) if "key-result" in c.metadata.get("tags", [])]
    code = "\n".join(cell.source for cell in code_cells(notebook))
    assert "kp.check.bet(" in code and "kp.check.settle(" in code


@all_by_stem
def test_cells_are_short_and_ids_are_stable(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    lines = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in cells]
    assert max(lines) <= 30
    assert all(re.fullmatch(r"\d\d-\d\d", cell.id) for cell in cells)


@all_by_stem
def test_local_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", prose(nbformat.read(path, as_version=4))):
        assert (path.parent / target).exists(), target


@by_stem
def test_every_exercise_is_unsolved_here_and_solved_in_the_solutions(path):
    def checks(notebook):
        code = "\n".join(cell.source for cell in code_cells(notebook))
        return set(re.findall(r"kp\.check\.(\w+)\(", code)) - {"bet", "bets", "settle"}

    solution = path.parent / "solutions" / f"{path.stem}_solutions.ipynb"
    here, there = (nbformat.read(p, as_version=4) for p in (path, solution))
    assert checks(here) and checks(here) == checks(there)
    assert sum("Not yet: " in printed(cell) for cell in code_cells(here)) == len(checks(here))
    assert sum("Right." in printed(cell) for cell in code_cells(there)) == len(checks(there))


# ---------------------------------------------------------------- committed outputs


@all_by_stem
def test_committed_outputs_are_whole_and_clean(path):
    assert path.stat().st_size < 1_000_000
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.execution_count is not None, cell.source
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", output.text
            text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
            assert "WARNING" not in text
            assert not any(place in text for place in (str(ROOT), str(Path.home()), "/home/", "/tmp/", "/Users/")), text


@by_stem
def test_stamp_tells_of_a_full_run_on_the_real_data(path):
    notebook = nbformat.read(path, as_version=4)
    stamp = printed(code_cells(notebook)[-1])
    assert "profile full" in stamp and "seed 0" in stamp
    long = path.stem[:2] >= "04"
    most = {"02": 7, "03": 9, "07": 10, "08": 10, "09": 10, "10": 10}  # minutes
    assert seconds_of(notebook) <= 60 * most.get(path.stem[:2], 8 if long else 6)
    memory = float(re.search(r"peak memory ([\d.]+) GB", stamp).group(1))
    assert memory <= (5.0 if path.stem[:2] in ("09", "10") else 4.0 if long else 3.0)
    if path.stem[:2] in ("02", "03", "04", "05", "06"):
        assert "mnist from $KPRETRAIN_DATA/mnist.npz" in stamp
    assert notebook.metadata.kpretrain.profile == "full"


@by_stem
def test_the_stored_record_stands_beside_the_run(path):
    """A network that is written otherwise than the record's counts as another one, and its record is not shown."""
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if "kp.results.beside(" in cell.source:
            assert any(results.STORED in output.get("metadata", {}) for output in cell.outputs), cell.source


@by_stem
def test_the_times_in_header_and_readme_are_those_of_the_stamp(path):
    notebook = nbformat.read(path, as_version=4)
    minutes = round(seconds_of(notebook) / 60)
    full = re.search(r"full about (\d+) min", notebook.cells[0].source)
    assert full, notebook.cells[0].source
    assert abs(int(full.group(1)) - minutes) <= 1
    fast = re.search(r"fast about (\d+) s", notebook.cells[0].source).group(1)
    for readme in (ROOT / "README.md", ROOT / "notebooks" / "README.md"):
        lines = readme.read_text(encoding="utf8").splitlines()
        row = next(line for line in lines if line.startswith(f"| [{path.stem[:2]}"))
        assert f"| {fast} s | {full.group(1)} min |" in row, readme.name


def test_record_of_the_cnn_holds_three_runs_past_994_in_half_the_time():
    record = results.load("03_cnn_mnist")
    assert record["profile"] == "full" and len(record["seeds"]) == 3 and "mnist" in record["data"]
    arms = ("plain CNN", "plain CNN, same recipe", "better CNN")
    assert {row["arm"] for row in record["scores"]} == {*arms}
    scores = {arm: [row for row in record["scores"] if row["arm"] == arm] for arm in arms}
    assert all(len(runs) == 3 for runs in scores.values())
    assert np.mean([row["score"] for row in scores["better CNN"]]) >= 99.4
    for plain, better in zip(scores["plain CNN"], scores["better CNN"], strict=True):
        assert better["seconds"] <= 0.5 * plain["seconds"]


def means(name):
    """Mean scores of a stored record: (arm, labels) -> percent."""
    rows = pd.DataFrame(results.load(name)["scores"])
    return rows.groupby(["arm", "labels"])["score"].mean()


def test_prose_about_stored_records_is_what_they_hold():
    """What 03 to 06 and 08 to 11 say of their records in words; a new record may ask for other words."""
    cnn = pd.DataFrame(results.load("03_cnn_mnist")["scores"]).groupby("arm")["score"]
    intervals = {arm: results.interval(scores)[1:] for arm, scores in cnn}
    same = cnn.get_group("plain CNN, same recipe").to_numpy() - cnn.get_group("better CNN").to_numpy()
    assert (same > 0).all() and same.max() < 0.1, "03: the plain network is ahead in every run, by little"
    assert intervals["plain CNN, same recipe"][0] > intervals["plain CNN"][1], "03: the recipe brought the gain"
    coder = means("04_autoencoders")
    denoised, scratch = coder["frozen (denoising)"], coder["scratch"]
    assert (denoised > coder["frozen random"] + 9).all() and (denoised < scratch - 4).all()
    assert abs((coder["fine-tuned (denoising)"] - scratch).mean()) < 0.5
    simclr = means("05_contrastive")
    gain = simclr["frozen (SimCLR)"] - simclr["scratch"]
    assert [round(gain[labels]) for labels in (1, 10, 100)] == [22, 3, 1]
    assert (simclr["fine-tuned (SimCLR)"] < simclr["frozen (SimCLR)"]).all()
    longer = simclr["scratch, longer", 10]  # which ran at ten labels alone
    assert 0.5 < simclr["frozen (SimCLR)", 10] - longer < gain[10] / 2
    assert abs(longer - simclr["frozen (SimCLR)", 5]) < 0.3, "05: level at five"
    assert abs(simclr["fine-tuned (SimCLR)", 10] - longer) < 1
    assert abs(simclr["spread over pixels", 10] - simclr["frozen (SimCLR)", 10]) < 1
    assert abs(simclr["spread (SimCLR)", 1] - simclr["frozen (SimCLR)", 50]) < 0.5
    spread = simclr["spread (SimCLR)"] - simclr["spread over pixels"]
    assert [round(spread[labels]) for labels in (1, 10)] == [12, 1]
    assert simclr["spread (SimCLR)"].round(1).tolist() == [98.2, 98.1, 98.5, 98.8]
    two = pd.DataFrame(results.load("05_contrastive")["scores"]).query("arm == 'spread (SimCLR)' and labels == 2")[
        "score"
    ]
    assert round(two.min(), 1) == 94.1 and two.nsmallest(2).iloc[1] > 97.5 and two.drop(two.idxmin()).mean() > 98.2
    at_ten = simclr.xs(10, level="labels")
    assert at_ten[["spread over pixels", "frozen (SimCLR)"]].round(1).tolist() == [97.4, 96.9]
    assert (at_ten["spread (SimCLR)"] - at_ten[["scratch", "scratch, longer"]]).round(1).tolist() == [4.5, 3.0]
    at_ten = coder.xs(10, level="labels")[["scratch, longer", "fine-tuned (denoising)"]]
    assert at_ten.round(1).tolist() == [95.8, 94.4], "04: what a longer training reaches"
    gan = means("06_gan")
    at_ten = gan.xs(10, level="labels")
    assert round(at_ten["frozen (GAN)"] - at_ten["frozen random"]) == 13
    assert round(at_ten["scratch"] - at_ten["frozen (GAN)"]) == 11
    assert round(at_ten["scratch, longer"] - at_ten["fine-tuned (GAN)"]) == 2
    gaps = Comparison.load(results.load("06_gan")).differences().set_index(["arm", "against", "labels"])
    assert (gaps.loc["frozen (GAN)", "frozen random"].low > 0).all()
    ahead = gaps.loc["fine-tuned (GAN)", "scratch"]
    assert ahead.points[1].round(1) == 1.5 and (ahead.loc[:10, "low"] < 0).all()
    assert (ahead.loc[:10, "high"] > 0).all() and (ahead.loc[20:, "high"] < 0).all() and (ahead.points > -1).all()
    gpt = means("08_causal_language_model").unstack()
    three = gpt[[10, 50, 200]]
    assert (three.loc["fine-tuned (GPT)"] > three.loc[["scratch", "TF-IDF"]].max() + 4).all()
    assert (three.loc["scratch"] < three.loc["TF-IDF"] - 4).all() and (gpt.idxmin() == "frozen random").all()
    record = results.load("08_causal_language_model")
    leads = Comparison.load(record).differences().set_index(["arm", "against", "labels"]).sort_index()
    leads = leads[["points", "low", "high"]].astype(float)
    lead, tuned_lead = (leads.loc[f"{how} (GPT)", "TF-IDF"] for how in ("frozen", "fine-tuned"))
    assert lead["points"].is_monotonic_decreasing and tuned_lead["points"].is_monotonic_decreasing
    assert lead["points"].round(1)[[5, 200, 500]].tolist() == [14.3, 1.6, -1.4]
    assert lead[["low", "high"]].round(1).loc[[200, 500]].to_numpy().tolist() == [[-0.1, 3.3], [-3.1, 0.2]]
    assert gpt.loc["frozen (GPT)", 5] > gpt.loc["TF-IDF", 20]
    tuned = gpt.loc["fine-tuned (GPT)"] - gpt.loc["frozen (GPT)"]
    assert abs(tuned[10]) < 1 and tuned[200] > 3
    new = Comparison.load(record).new_pretraining().set_index(["arm", "against"])
    runs = np.round(new.loc[("fine-tuned (GPT)", "scratch"), "each"])
    assert len(runs) == 3 and runs.min() == 15 and runs.max() == 17, "08: the runs agree"
    resnet = means("09_transfer_resnet").unstack()
    best, control = resnet.loc["frozen, all stages (ResNet)"], resnet.loc["frozen random, all stages"]
    assert (best > resnet.loc[["pixels", "scratch", "frozen random, all stages"]].max()).all()
    assert (resnet.loc["scratch"] < resnet.loc["fine-tuned (ResNet)"]).all()
    behind = best - resnet.loc["fine-tuned (ResNet)"]
    assert (behind > -0.5).all() and behind[5] > 2 and abs(behind[50]) < 1
    assert abs((resnet.loc["scratch"] - control).mean()) < 1
    assert (control - resnet.loc["pixels"]).mean() > (best - resnet.loc["pixels"]).mean() / 2
    bert = means("10_transfer_bert").unstack()
    counted, last, tuned = (bert.loc[arm] for arm in ("TF-IDF", "frozen (BERT)", "fine-tuned (BERT)"))
    layers = bert.loc["frozen, all layers (BERT)"]
    assert bert.loc[["scratch", "frozen random"], 50].max() < counted[50]
    assert (tuned - last).loc[:100].abs().max() < 1.2 and (tuned - last)[[200, 500]].round().tolist() == [1, 3]
    assert (layers > np.maximum(tuned, last)).loc[10:].all() and layers[5] < min(tuned[5], last[5])
    assert (last - counted).loc[:100].between(3, 6.5).all()
    assert (layers - counted)[[100, 200, 500]].round().tolist() == [9, 9, 7]
    gaps = Comparison.load(results.load("10_transfer_bert")).differences().set_index(["arm", "against", "labels"])
    gap = gaps.loc[("frozen (BERT)", "TF-IDF", 500), ["points", "low", "high"]].astype(float)
    assert gap.round(1).tolist() == [-0.7, -2.9, 1.6]
    sentences = means("11_sentence_vectors").unstack()
    lead = sentences.loc["frozen, unit length (BERT)"] - sentences.loc["TF-IDF"]
    assert lead.is_monotonic_decreasing and lead.min() > 0
    ahead = sentences.loc["frozen, unit length (BERT)", 10] - sentences.loc["TF-IDF", 200]
    assert abs(ahead) < 2 and sentences.loc["frozen (LSA)", 200] < sentences.loc["TF-IDF", 200] + 1
    both = sentences.loc["unit length beside TF-IDF (BERT)"] - sentences.loc["frozen, unit length (BERT)"]
    assert both[200] > 1

    law = pd.DataFrame(results.load("16_scale_out")["scores"]).set_index("seed")
    line, trained = (law[law["arm"] == arm] for arm in ("predicted by the line", "trained"))
    above = trained["score"] / line["score"] - 1
    assert len(above) == 8 and above.min() > 0 and above.mean() == pytest.approx(0.03, abs=0.005)
    moved = line[["low", "high"]].mul(1 + above.mean())
    assert trained["score"].between(line["low"], line["high"]).sum() == 6
    assert trained["score"].between(moved["low"], moved["high"]).all()

    steps = pd.read_json(results.FOLDER / "16_bert_on_a_gpu.jsonl", lines=True)
    steps["backend"] = steps["backend"].str.split().str[0]
    speed = steps.set_index(["arithmetic", "length", "backend"])
    half = speed.loc["mixed_bfloat16"].unstack("backend")
    assert (100 * half["flop_per_s", "jax"] / 989e12).round().tolist() == [27, 20]
    slower = half["tokens_per_s", "jax"] / half["tokens_per_s", "torch"]
    assert slower.round(1).tolist() == [2.1, 3.7]
    assert 989e12 / half["flop_per_s", "torch"].min() == pytest.approx(18, abs=0.5)


# ---------------------------------------------------------------- the code that the reader sees


CORE = [
    pytest.param(cell.source, id=f"{path.stem}-{cell.id}")
    for path in NOTEBOOKS
    for cell in code_cells(nbformat.read(path, as_version=4))
    if "core" in cell.metadata.get("tags", [])
]


@pytest.mark.parametrize("source", CORE)
def test_a_core_cell_runs_alone(source, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(compile(source, "<cell>", "exec"), {"__name__": "__main__"})


ALTERED = "copies = Alter()(np.full((4, 20, 30, 1), 255.0), training=True)\nassert copies.shape == (4, 20, 30, 1)"


def test_cells_run_where_the_tensors_of_pytorch_are_on_a_gpu():
    pytest.importorskip("torch")
    code = [runpy.run_path(str(ROOT / "tests/nightly/courses.py"))["AS_ON_A_GPU"]]
    code += ["import keras, numpy as np", "from keras import layers, ops"]
    wanted = {"03-29", "07-04", "08-04", "14-21"}  # a layer of its own, two finished models, numbers outside a row
    found = [cell for path in NOTEBOOKS for cell in code_cells(nbformat.read(path, as_version=4)) if cell.id in wanted]
    assert len(found) == len(wanted)
    environment = os.environ | {"KERAS_BACKEND": "torch", "MPLBACKEND": "agg", "KPRETRAIN_OFFLINE": "1"}
    command = [sys.executable, "-c", "\n".join([*code, *(cell.source for cell in found), ALTERED])]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def definitions(stem, *names, **given):
    """The named functions of a notebook, in a namespace that holds what `given` and the usual imports provide."""
    import keras
    import pandas as pd
    from keras import layers, ops

    from kpretrain import clean

    space = {"np": np, "pd": pd, "keras": keras, "layers": layers, "ops": ops, "clean": clean, **given}
    path = ROOT / "notebooks" / f"{stem}.ipynb"
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if "setup" in cell.metadata.get("tags", []):
            continue
        for node in ast.parse(cell.source).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
                exec(compile(ast.Module([node], []), stem, "exec"), space)
    return [space[name] for name in names]


def test_01_text_augmentation_keeps_what_it_promises():
    delete_words, swap_words = definitions("01_clean_and_split", "delete_words", "swap_words")
    rng, text = np.random.default_rng(0), " ".join(f"w{k}" for k in range(2000))
    kept = delete_words(text, 0.2, rng).split()
    assert abs(len(kept) / 2000 - 0.8) < 0.03
    assert kept == [word for word in text.split() if word in set(kept)]
    assert delete_words("one", 0.99, rng) == "one"
    assert sorted(swap_words(text, 50, rng).split()) == sorted(text.split())
    assert swap_words(text, 50, rng) != text
    assert swap_words("one", 2, rng) == "one"


def test_02_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    (wilson,) = definitions("02_mlp_mnist", "wilson")
    for correct, n in ((9810, 10_000), (3, 10), (0, 5), (359, 359)):
        reference = binomtest(correct, n).proportion_ci(method="wilson")
        assert np.allclose(wilson(correct, n), [100 * reference.low, 100 * reference.high], atol=0.01)


def test_03_convolution_is_that_of_keras_and_of_scipy():
    from keras import ops
    from scipy.signal import correlate2d

    (convolve,) = definitions("03_cnn_mnist", "convolve")
    image, kernel = np.random.default_rng(0).normal(size=(9, 7)), np.random.default_rng(1).normal(size=(3, 3))
    found = convolve(image, kernel)
    np.testing.assert_allclose(found, correlate2d(image, kernel, mode="valid"))
    by_keras = ops.conv(image[None, :, :, None].astype("float32"), kernel[:, :, None, None].astype("float32"))
    np.testing.assert_allclose(found, by_keras[0, :, :, 0], atol=1e-4)


def test_03_receptive_field_is_what_a_pixel_can_change():
    import keras
    from keras import layers

    (receptive_fields,) = definitions("03_cnn_mnist", "receptive_fields")
    kinds = [(3, 1), (2, 2), (3, 1), (2, 2), (3, 1)]
    network = keras.Sequential([keras.Input((28, 28, 1))])
    for number, (k, s) in enumerate(kinds):
        network.add(layers.Conv2D(1, k, s, kernel_initializer="ones", name=f"layer_{number}"))
    one = keras.Model(network.inputs, network.layers[-1].output[:, 1, 1])
    dots = np.eye(784, dtype="float32").reshape(784, 28, 28, 1)  # each pixel by itself
    seen = np.argwhere(one.predict(dots, batch_size=784, verbose=0).reshape(28, 28) > 0)
    assert tuple(np.ptp(seen, axis=0) + 1) == (receptive_fields(kinds)[-1],) * 2 == (18, 18)
    assert receptive_fields(kinds) == [3, 4, 8, 10, 18]


def test_03_augmentation_moves_each_image_by_its_own_amounts():
    import keras

    (augment,) = definitions("03_cnn_mnist", "augment")
    image = np.zeros((1, 28, 28, 1), "float32")
    image[:, 9:19, 12:16] = 1
    images, draws = np.repeat(image, 64, 0), keras.random.SeedGenerator(0)
    still = keras.ops.convert_to_numpy(augment(images, draws, turn=0, scale=0, shear=0, shift=0))
    assert np.allclose(still, images, atol=1e-6)
    moved = keras.ops.convert_to_numpy(augment(images, draws))
    assert len({row.tobytes() for row in moved}) == 64
    rows, columns = np.mgrid[:28, :28]
    centre = np.array([(moved[..., 0] * axis).sum((1, 2)) / moved.sum((1, 2, 3)) for axis in (rows, columns)])
    # turned about the middle: no drift on average, and no further than the shift and the rotation can take it
    assert np.abs(centre.mean(1) - 13.5).max() < 0.75
    assert np.abs(centre - 13.5).max() < 4


def test_03_images_are_altered_in_training_alone_and_batches_hold_each_image_once():
    import keras

    names = ("augment", "Augment", "with_augmentation", "batches")
    *_, with_augmentation, batches = definitions("03_cnn_mnist", *names)
    model = with_augmentation(keras.Sequential([keras.layers.Identity()]), 0)
    x = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype="uint8")
    asked, trained = (keras.ops.convert_to_numpy(model(x, training=training)) for training in (False, True))
    assert (asked == x).all() and all((a != b).any() for a, b in zip(trained, x, strict=True))
    passes = list(itertools.islice(batches(np.arange(20), np.arange(20) + 1, 6, 0), 6))  # two epochs of three batches
    for rows, labels in passes:
        assert (labels == rows + 1).all() and len(rows) == 6
    first, second = (np.concatenate([rows for rows, _ in part]) for part in (passes[:3], passes[3:]))
    assert len(set(first)) == len(set(second)) == 18 and (first != second).any()


def test_03_rate_rises_then_falls_to_zero():
    (warm_cosine,) = definitions("03_cnn_mnist", "warm_cosine")
    rates = np.array([float(warm_cosine(1000, 4e-3)(step)) for step in range(0, 1001, 50)])
    assert rates.argmax() == 2 and np.isclose(rates.max(), 4e-3)
    assert np.isclose(rates[0], 4e-4) and rates[-1] < 1e-6
    assert (np.diff(rates[:3]) > 0).all() and (np.diff(rates[2:]) < 0).all()


def test_03_costs_are_counted_right():
    import keras
    from keras import layers

    (costs,) = definitions("03_cnn_mnist", "costs")
    model = keras.Sequential([keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(5)])
    expected = [[(9 * 2 + 1) * 3, 4 * 4 * 3 * 3 * 3 * 2 / 1e6], [(4 * 4 * 3 + 1) * 5, 4 * 4 * 3 * 5 / 1e6]]
    assert np.allclose(costs(model), expected, atol=5e-4)


def test_03_the_arms_of_a_repeat_start_alike_whatever_their_dropout():
    import random

    import keras

    (better_network,) = definitions("03_cnn_mnist", "better_network", random=random)
    starts = []
    for seed, rate in ((0, 0.0), (0, 0.5), (1, 0.0)):
        keras.utils.set_random_seed(seed)
        starts.append(better_network(rate).get_weights())
    # what generators of seeds hold is no weight of a layer: kernels, scales and biases have floats
    first, second, other = ([w for w in weights if w.dtype == np.float32] for weights in starts)
    assert len(first) == len(second) and all(map(np.array_equal, first, second))
    assert not all(map(np.array_equal, first, other))


def test_03_early_stopping_stops_by_rows_that_are_neither_trained_on_nor_scored():
    from types import SimpleNamespace

    import keras

    x, y = np.arange(100), np.arange(100)
    (cures,) = definitions("03_cnn_mnist", "cures", settings=SimpleNamespace(few=20), x=x, y=y, keras=keras)
    rows = np.random.default_rng(0).permutation(100)
    arms = cures(rows)
    stopping, few = arms["early stopping"], arms["no cure"][1]
    watched = stopping[2]["validation_data"][0]
    assert len(watched) == 4 and len(stopping[1]) == 16 and {*watched, *stopping[1]} == {*few}  # no image more
    assert len(arms) <= 5 and all(len(arms[name][1]) == 20 for name in ("dropout", "augmentation"))


def autoencoders(*names):
    """What notebook 04 defines, all in one namespace: the named ones."""
    from types import SimpleNamespace

    import keras

    import kpretrain as kp

    cells = code_cells(nbformat.read(ROOT / "notebooks" / "04_autoencoders.ipynb", as_version=4))
    (loss,) = (line for cell in cells for line in cell.source.splitlines() if line.startswith("loss_on_hidden = "))
    every = ("squared_error", "batches", "train", "image_decoder", "convolutional_autoencoder", "cut", "join", "choose")
    every += ("blocks", "placed", "masked_autoencoder", "masked_batches", "encoder_of", "snow", "dense_autoencoder")
    given = dict(kp=kp, SEED=0, BATCH=64, settings=SimpleNamespace(pretraining=20), images=digit_like(256))
    found = dict(zip(every, definitions("04_autoencoders", *every, **given), strict=True))
    exec(loss, {"keras": keras}, found)
    return [found[name] for name in names]


def digit_like(n):
    """Images that hold one bright square each, somewhere."""
    rng, images = np.random.default_rng(0), np.zeros((n, 28, 28, 1), "uint8")
    for image, (row, column) in zip(images, rng.integers(4, 16, (n, 2)), strict=True):
        image[row : row + 8, column : column + 8] = 255
    return images


def test_04_the_target_is_the_clean_image_and_each_image_comes_once_an_epoch():
    squared_error, batches, snow = autoencoders("squared_error", "batches", "snow")
    x = np.random.default_rng(0).integers(0, 256, (300, 28, 28, 1), dtype="uint8")
    pairs = list(itertools.islice(batches(x, snow), 8))
    assert all(seen.shape == clean.shape == (64, 28, 28, 1) for seen, clean in pairs)
    known = {row.tobytes() for row in x}
    first, second = ({row.tobytes() for _, clean in pairs[k : k + 4] for row in clean} for k in (0, 4))
    assert len(first) == len(second) == 256 and first | second <= known and first != second
    seen, clean = pairs[0]
    assert abs(float((seen - clean).std()) - 127.5) < 2 and abs(float((seen - clean).mean())) < 2
    plain, again = next(batches(x))
    assert plain is again  # the plain autoencoder's target is its input
    rebuilt = np.random.default_rng(1).uniform(size=clean.shape).astype("float32")
    assert float(squared_error(clean, rebuilt)) == pytest.approx(np.mean((rebuilt - clean / 255) ** 2), rel=1e-4)


@pytest.mark.parametrize("kind", ["plain", "denoising", "masked"])
def test_04_the_loss_of_each_autoencoder_falls(kind):
    import keras

    names = ("dense_autoencoder", "masked_autoencoder", "train", "batches", "masked_batches", "snow", "loss_on_hidden")
    dense_autoencoder, masked_autoencoder, train, batches, masked_batches, snow, loss_on_hidden = autoencoders(*names)
    keras.utils.set_random_seed(0)
    if kind == "masked":
        losses = train(masked_autoencoder(), masked_batches(digit_like(512)), 100, loss_on_hidden)
    else:
        losses = train(dense_autoencoder(8), batches(digit_like(512), snow if kind == "denoising" else None), 100)
    assert len(losses) == 5 and losses[-1] < 0.6 * losses[0]


def test_04_patches_agree_with_a_loop_and_are_joined_again():
    cut, join = autoencoders("cut", "join")
    x = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1))
    corners = [(row, column) for row in range(0, 28, 7) for column in range(0, 28, 7)]
    expected = [[image[r : r + 7, c : c + 7].reshape(-1) for r, c in corners] for image in x]
    np.testing.assert_array_equal(cut(x), expected)
    np.testing.assert_array_equal(join(cut(x)), x)


def test_04_a_quarter_is_visible_drawn_evenly_and_for_each_image_by_itself():
    (choose,) = autoencoders("choose")
    picks = choose(4000, np.random.default_rng(0))
    assert picks.shape == (4000, 4, 16) and set(np.unique(picks)) == {0, 1}
    np.testing.assert_array_equal(picks.sum(axis=2), 1)
    visible = picks.sum(axis=1)
    assert visible.max() == 1 and len(np.unique(visible, axis=0)) > 1500
    assert np.abs(visible.mean(axis=0) - 0.25).max() < 4.5 * np.sqrt(0.25 * 0.75 / 4000)


def test_04_the_masked_encoder_sees_visible_patches_only_and_guesses_come_back_in_their_places():
    import keras

    cut, join, choose, masked_autoencoder, encoder_of = autoencoders(
        "cut", "join", "choose", "masked_autoencoder", "encoder_of"
    )
    keras.utils.set_random_seed(0)
    network, rng = masked_autoencoder(), np.random.default_rng(0)
    x, picks = rng.integers(0, 256, (5, 28, 28, 1)).astype("float32"), choose(5, rng)
    hidden = 1 - picks.sum(axis=1)
    other = join(np.where(hidden[:, :, None] == 1, np.float32(77), cut(x)))
    guess, same = (np.asarray(network([images, picks])) for images in (x, other))
    assert guess.shape == (5, 16, 49) and (x != other).mean() > 0.7
    np.testing.assert_allclose(guess, same, atol=1e-5)
    assert np.abs(guess - np.asarray(network([255 - x, picks]))).max() > 1e-3
    order = picks[:, rng.permutation(4)]  # in another order, the same patches are visible
    np.testing.assert_allclose(guess, np.asarray(network([x, order])), atol=1e-5)
    back = network.get_layer("places").input
    placed = np.asarray(keras.Model(network.inputs, back)([x, picks]))
    np.testing.assert_array_equal(np.abs(placed).sum(axis=2) > 0, hidden == 0)
    everything = np.tile(np.eye(16, dtype="float32"), (5, 1, 1))  # with all patches visible, it is the encoder's mean
    mean = np.asarray(keras.Model(network.inputs, back)([x, everything])).mean(axis=1)
    np.testing.assert_allclose(np.asarray(encoder_of(network)(x)), mean, atol=1e-5)


def test_04_only_hidden_patches_count():
    masked_batches, masked_autoencoder, cut, loss = autoencoders(
        "masked_batches", "masked_autoencoder", "cut", "loss_on_hidden"
    )
    network = masked_autoencoder()
    network.compile("sgd", loss)
    (x, picks), target, counts = next(masked_batches(digit_like(128)))
    np.testing.assert_array_equal(counts, 1 - picks.sum(axis=1))
    np.testing.assert_allclose(target, cut(x) / 255, atol=1e-6)
    guess = np.asarray(network([x, picks]))
    expected = np.mean(((guess - target) ** 2)[counts == 1])
    assert np.mean((guess - target) ** 2) != pytest.approx(expected, rel=1e-3)
    given = network.evaluate((x, picks), target, sample_weight=counts, batch_size=64, verbose=0)
    assert given == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["plain", "denoising", "masked"])
def test_04_the_presets_are_of_the_networks_of_the_notebook_in_layers_of_core_keras(name):
    import zipfile

    from kpretrain import presets
    from kpretrain.fingerprint import architecture

    convolutional_autoencoder, masked_autoencoder = autoencoders("convolutional_autoencoder", "masked_autoencoder")
    convolutional_autoencoder.__globals__["train"] = lambda *_: None  # only the network is wanted here
    built = masked_autoencoder() if name == "masked" else convolutional_autoencoder()
    found = presets.load(f"{name}_mnist")
    assert architecture(found) == architecture(built)
    assert [w.shape for w in found.get_weights()] == [w.shape for w in built.get_weights()]
    with zipfile.ZipFile(presets.FOLDER / f"{name}_mnist" / "model.keras") as file:
        assert b"kpretrain" not in file.read("config.json")


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_05_nt_xent_is_that_of_the_helper(temperature):
    from kpretrain import objectives

    (shown,) = definitions("05_contrastive", "nt_xent")
    first, second = np.random.default_rng(0).normal(size=(2, 7, 5)).astype("float32")
    expected = float(objectives.nt_xent(first, second, temperature))
    assert float(shown(first, second, temperature)) == pytest.approx(expected, abs=1e-5)


def test_06_frechet_is_that_of_the_formula():
    from scipy.linalg import sqrtm

    (frechet,) = definitions("06_gan", "frechet")
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5)), rng.normal(size=(200, 5)) + 0.3
    one, other = np.cov(real.T), np.cov(fake.T)
    root = sqrtm(one @ other).real
    expected = np.sum((real.mean(0) - fake.mean(0)) ** 2), np.trace(one + other - 2 * root)
    np.testing.assert_allclose(frechet(real, fake), expected)
    np.testing.assert_allclose(frechet(real, real), (0, 0), atol=1e-9)
    np.testing.assert_allclose(frechet(real, np.tile(real.mean(0), (9, 1))), (0, np.trace(one)), atol=1e-9)


def test_06_the_game_of_five_numbers_loses_the_spread_and_finds_it_sooner_with_decay():
    given = dict(zip(("sigmoid", "parts"), definitions("06_gan", "sigmoid", "parts"), strict=True))
    (play,) = definitions("06_gan", "play", **given)
    games = play(0), play(0.05)
    for game in games:  # what the prose says: both lose the spread first, at a loss of a coin
        assert np.abs(game[300, 1]) < 0.1 and abs(game[200:500, 2].mean() - np.log(4)) < 0.1
    free, calm = (np.flatnonzero(np.abs(game[:, 1] - 0.5) > 0.1)[-1] for game in games)
    assert calm + 200 < free
    np.testing.assert_allclose(games[1][-300:, :4].mean(0), (1, 0.5, np.log(4), np.log(2)), atol=0.05)


def test_06_each_player_moves_by_its_own_loss():
    import keras
    from keras import ops

    (cross_entropy,) = definitions("06_gan", "cross_entropy")
    x = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), dtype="uint8")

    def moved(rates=(1e-3, 1e-3), targets=(0.9, 0.0, 1.0)):
        def some(target, logits):
            return cross_entropy(target, logits) * (target in targets)

        keras.utils.set_random_seed(0)
        make_generator, GAN = definitions("06_gan", "make_generator", "GAN", LATENT=64, cross_entropy=some)
        # Scaled pixels: logits of hundreds would saturate the loss, and nobody would move.
        scaled = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), keras.layers.Dense(1)]
        critic = keras.Sequential([keras.Input((28, 28, 1)), *scaled])
        gan = GAN(make_generator(8), critic, 0)
        gan.compile(*rates)
        players = [gan.generator, gan.discriminator]
        before = [
            [ops.convert_to_numpy(w).copy() for w in player.trainable_variables] for player in players
        ]  # no views
        gan.fit(x, batch_size=16, verbose=0)
        return [
            any(not np.array_equal(old, new) for old, new in zip(kept, player.trainable_variables, strict=True))
            for kept, player in zip(before, players, strict=True)
        ]

    assert moved() == [True, True]
    assert moved((1e-3, 0.0)) == [True, False] and moved((0.0, 1e-3)) == [False, True]
    # only the generator's loss, then only the discriminator's: it reaches no weight of the other player
    assert moved(targets=[1.0]) == [True, False] and moved(targets=[0.9, 0.0]) == [False, True]


def simclr(encoder, projector, temperature=0.5, kind="SimCLR"):
    """The model of notebook 05 around the given parts."""
    return definitions("05_contrastive", "nt_xent", "SimCLR", kind)[-1](encoder, projector, temperature)


def judged(first, second, **options):
    """What the model reports on embeddings that are handed to it."""
    from keras import layers

    model = simclr(layers.Identity(), layers.Identity(), **options)
    model.compile("sgd")
    return model.evaluate((first, second), batch_size=len(first), return_dict=True, verbose=0)


def test_05_reports_agree_with_a_loop():
    first, noise = np.random.default_rng(0).normal(size=(2, 12, 3)).astype("float32")
    second = first + 0.4 * noise
    rows = np.concatenate([first, second])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    nearest = [max((k for k in range(24) if k != i), key=lambda k, i=i: rows[i] @ rows[k]) for i in range(24)]
    right = np.mean([k == (i + 12) % 24 for i, k in enumerate(nearest)])
    shares = np.exp(rows @ rows.T / 0.3)
    np.fill_diagonal(shares, 0)
    losses = [-np.log(shares[i, (i + 12) % 24] / shares[i].sum()) for i in range(24)]
    assert 0.1 < right < 0.9
    got = judged(first, second, temperature=0.3)
    assert got["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert got["accuracy"] == pytest.approx(right)
    assert got["spread"] == pytest.approx(np.mean(rows.std(axis=0)) * np.sqrt(3), rel=1e-4)


def test_05_spread_tells_a_collapse():
    random = np.random.default_rng(0).normal(size=(2, 400, 8)).astype("float32")
    assert judged(*random)["spread"] == pytest.approx(1, abs=0.02)
    same = np.ones((20, 8), "float32")
    collapsed = judged(same, 2 * same)
    assert collapsed["spread"] == pytest.approx(0, abs=1e-6)
    assert collapsed["loss"] == pytest.approx(np.log(39), rel=1e-5)
    only_partners = judged(same, 2 * same, kind="NoNegatives")
    assert only_partners["loss"] == pytest.approx(-1 / 0.5) and only_partners["spread"] == pytest.approx(0, abs=1e-6)


def test_05_both_views_pass_as_one_batch_and_the_given_encoder_is_trained():
    import keras
    from keras import layers

    seen = []

    class Record(layers.Layer):
        def call(self, x):
            seen.append(x.shape[0])
            return x

    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([Record(), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(8)])
    x = np.random.default_rng(0).integers(0, 256, (64, 2, 2, 1), dtype="uint8").repeat(4, axis=1).repeat(4, axis=2)
    model = simclr(encoder, keras.Sequential([layers.Dense(4)]))
    embeddings = model((x[:5], x[5:10]))
    assert seen[-1] == 10 and [tuple(part.shape) for part in embeddings] == [(5, 4), (5, 4)]
    before = [weight.copy() for weight in encoder.get_weights()]
    model.compile(keras.optimizers.Adam(0.01))
    losses = model.fit((x, np.maximum(x, 20)), batch_size=32, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    assert all((new != old).any() for new, old in zip(encoder.get_weights(), before, strict=True))


def test_05_views_are_pairs_of_the_same_images_in_whole_batches():
    def alter(rows, training):
        return rows + np.random.default_rng().uniform(0, 0.4, rows.shape).astype("float32")

    (pairs,) = definitions("05_contrastive", "pairs", SEED=0)
    images = np.arange(10, dtype="uint8").reshape(10, 1, 1, 1)
    for ((first, second),) in itertools.islice(pairs(images, alter, 4), 5):  # beyond one pass
        assert first.shape == second.shape == (4, 1, 1, 1) and first.dtype == "float32"
        np.testing.assert_array_equal(np.floor(first), np.floor(second))
        assert (np.asarray(first) != np.asarray(second)).any()


@pytest.fixture
def moons():
    """Two moons, a label for each, and what notebook 05 needs to spread them: rows, classes, where, the estimator."""
    import warnings

    from scipy.sparse import csr_array
    from sklearn import base, exceptions, neighbors, preprocessing, semi_supervised
    from sklearn.datasets import make_moons

    names = ("directions", "neighbour_graph", "spread_labels", "SpreadLabels")
    given = {
        "warnings": warnings,
        "csr_array": csr_array,
        "BaseEstimator": base.BaseEstimator,
        "ClassifierMixin": base.ClassifierMixin,
        "clone": base.clone,
        "ConvergenceWarning": exceptions.ConvergenceWarning,
        "NearestNeighbors": neighbors.NearestNeighbors,
        "LabelSpreading": semi_supervised.LabelSpreading,
        "__name__": "__main__",  # a fingerprint reads the methods of a class from a notebook
    }
    directions, neighbour_graph, _, SpreadLabels = definitions("05_contrastive", *names, **given)
    x, y = make_moons(600, noise=0.05, random_state=0)
    places = preprocessing.FunctionTransformer(
        _append_one
    )  # rows are scaled to length 1, and this keeps their places apart
    graph = neighbour_graph(directions(places.fit(x), x))
    first = [int(np.flatnonzero(y == label)[0]) for label in (0, 1)]
    return (
        x,
        np.array(["upper", "lower"])[y],
        first,
        SpreadLabels(x, [graph], places, neighbors.KNeighborsClassifier(5)),
    )


def _append_one(x):
    return np.c_[x, np.ones(len(x))]


def test_05_one_label_a_moon_is_enough_for_the_student(moons):
    from sklearn.base import clone
    from sklearn.neighbors import KNeighborsClassifier

    x, y, first, model = moons
    assert KNeighborsClassifier(1).fit(x[first], y[first]).score(x, y) < 0.9  # without the pool it is not
    copy = clone(model).fit(x[first], y[first])
    assert (copy.spread_labels_ == y).mean() > 0.97 and copy.score(x, y) > 0.97
    assert list(copy.spread_labels_[first]) == list(y[first]) and list(copy.classes_) == ["lower", "upper"]
    assert not hasattr(model, "student_") and not hasattr(model.student, "classes_")  # the given ones are left alone


def test_05_two_graphs_have_an_equal_say(moons):
    """Where one graph reaches no label, the other decides; where both do, the surer one."""
    x, y, first, model = moons
    torn = model.graphs[0].copy().tolil()
    torn[300:] = torn[:, 300:] = 0  # half the rows are joined to nobody
    known = np.full(len(x), -1)
    known[first] = [0, 1]
    spread = type(model).fit.__globals__["spread_labels"]
    alone, both = spread(known, torn.tocsr()), spread(known, torn.tocsr(), model.graphs[0])
    right = np.array(["upper", "lower"])[[0, 1]][both] == y
    assert right.mean() > 0.97 and (alone != both).any()


def test_05_a_labelled_row_outside_the_pool_speaks_for_its_nearest(moons):
    x, y, first, model = moons
    model.fit(x[first] + 1e-3, y[first])
    assert list(model.spread_labels_[first]) == list(y[first]) and model.score(x, y) > 0.97


def test_05_the_student_gets_the_random_state(moons):
    from sklearn.linear_model import SGDClassifier

    x, y, first, model = moons
    model.set_params(student=SGDClassifier(), random_state=7).fit(x[first], y[first])
    assert model.student_.random_state == 7 and model.student.random_state is None


def test_05_the_graph_is_symmetric_and_counts_in_the_fingerprint(moons):
    from sklearn.base import clone

    from kpretrain.fingerprint import fingerprint

    model = moons[-1]
    (graph,) = model.graphs
    assert abs(graph - graph.T).max() == 0 and (graph.diagonal() == 0).all()
    assert graph.nnz >= 600 * 10 and 0 < graph.data.min() and graph.data.max() <= 2
    changed = clone(model)
    assert fingerprint(changed) == fingerprint(model)
    changed.graphs[0].data[0] += 0.5
    assert fingerprint(changed) != fingerprint(model)


def test_07_words_are_cut_as_the_tokenizer_cuts_them():
    from kpretrain import text

    (pieces_of,) = definitions("07_masked_language_model", "pieces_of")
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcd"), random.integers(1, 9))) for _ in range(300)]
    known = {*"abc", "##a", "##b", "##c"} | {word[:3] for word in words[:20]}
    known |= {f"##{word[-2:]}" for word in words[:20]}
    tokenizer = text.fast_tokenizer([*text.SPECIAL, *sorted(known)])
    expected = [tokenizer.encode(word, add_special_tokens=False).tokens for word in words]
    assert [pieces_of(word, known) for word in words] == expected
    assert ["[UNK]"] in expected and max(map(len, expected)) > 3


def test_07_a_blank_is_filled_from_both_sides():
    import keras_hub

    import kpretrain as kp

    (fill,) = definitions("07_masked_language_model", "fill", kp=kp, words=None)
    words = kp.text.fast_tokenizer([*kp.text.SPECIAL, "a", "b", "c"])
    backbone = keras_hub.models.BertBackbone(8, 1, 2, 8, 16, max_sequence_length=9)
    model = keras_hub.models.BertMaskedLM(backbone)
    first, left, right = (fill(model, text, words) for text in ("a b [MASK] c", "c b [MASK] c", "a b [MASK] a"))
    assert first.shape == (8,) and first.sum() == pytest.approx(1, abs=1e-5)
    assert np.abs(first - left).max() > 1e-6 and np.abs(first - right).max() > 1e-6
    row = kp.text.bert_inputs(np.array([[2, 5, 6, 4, 7, 3]], "int32")) | {"mask_positions": np.array([[3]], "int32")}
    z = np.asarray(model(row))[0, 0]
    np.testing.assert_allclose(first, np.exp(z) / np.exp(z).sum(), atol=1e-5)


def test_07_masks_as_the_helper_does():
    from types import SimpleNamespace

    from kpretrain import text

    (mask_tokens,) = definitions("07_masked_language_model", "mask_tokens", np=np, kp=SimpleNamespace(text=text))
    random = np.random.default_rng(0)
    rows = random.integers(5, 500, (4000, 64)).astype("int32")
    rows[:, 0], rows[:, 40], rows[::2, 50:] = text.CLS, text.SEP, text.PAD
    altered, chosen = mask_tokens(rows, 0.15, 500, random)
    helper = text.mask(rows, 500, 0.15, random=1)
    np.testing.assert_array_equal(chosen.sum(axis=1), helper.weights.sum(axis=1))
    assert (rows[chosen] > 4).all() and (altered == rows)[~chosen].all()
    for kind in (lambda new, old: new == text.MASK, lambda new, old: new == old):
        shown = kind(altered[chosen], rows[chosen]).mean()
        at = np.arange(len(rows))[:, None]
        kept = helper.weights > 0
        assert shown == pytest.approx(kind(helper.rows[at, helper.positions], helper.labels)[kept].mean(), abs=0.012)


def test_08_the_rate_ends_with_the_training():
    (schedule,) = definitions("08_causal_language_model", "schedule")
    for updates in (16, 100, 5000):
        rates = [float(schedule(5e-3, updates)(step)) for step in range(updates + 1)]
        assert rates[0] == 0 and max(rates) == pytest.approx(5e-3) and rates.index(max(rates)) == max(1, updates // 10)
        assert rates[-1] == pytest.approx(0, abs=1e-9) and min(rates[1:-1]) > 0
    assert float(schedule(5e-3, 100, end=0.02)(100)) == pytest.approx(1e-4)


def test_08_the_gpt_sees_the_past_and_writes_what_is_chosen():
    import keras_hub

    import kpretrain as kp

    names = ("spread", "make_gpt", "who_sees_whom", "write", "sample", "softmax")
    given = dict(keras_hub=keras_hub, kp=kp, V=50, LENGTH=8)
    _, make_gpt, who_sees_whom, write, sample, softmax = definitions("08_causal_language_model", *names, **given)
    space = write.__globals__
    space["rows"] = np.arange(5, 17)[None].astype("int32")
    assert (who_sees_whom(make_gpt(50, 16, 12)) == np.tril(np.ones((12, 12), bool))).all()
    assert who_sees_whom(make_gpt(50, 16, 12, causal=False)).all()
    words = [*kp.text.SPECIAL, *(first + second for first in "wx" for second in string.ascii_lowercase)][:50]
    space["tokenizer"] = kp.text.fast_tokenizer(words)
    model = make_gpt(50, 16, 8)
    assert write(model, "wa wb", lambda logits: 7, tokens=9) == "wa wb" + " wc" * 9  # longer than the positions reach
    draws = [sample(lambda logits: softmax(logits, 0.5), seed=1)(np.log([0.25, 0.75])) for _ in range(3)]
    assert len(set(draws)) == 1  # the same random numbers each time
    one = sample(seed=0)
    assert np.mean([one(np.log([0.25, 0.75])) for _ in range(2000)]) == pytest.approx(0.75, abs=0.04)


def test_08_the_characters_of_a_token_are_counted_without_cls():
    cells = code_cells(nbformat.read(ROOT / "notebooks" / "08_causal_language_model.ipynb", as_version=4))
    line = next(line for cell in cells for line in cell.source.splitlines() if line.startswith("characters = "))
    space = {"held_out": ["abcd", "ef"], "every_row": np.zeros((1, 4))}  # [CLS] and three tokens
    exec(line, space)
    assert space["characters"] == 2


def test_08_ways_to_choose_keep_what_they_say():
    softmax, _, top_k, top_p = definitions("08_causal_language_model", "softmax", "keep", "top_k", "top_p")
    p = np.array([0.05, 0.25, 0.2, 0.3, 0.08, 0.12])
    logits = np.log(p) + 3
    np.testing.assert_allclose(softmax(logits), p)
    np.testing.assert_allclose(softmax(logits, 0.5), p**2 / (p**2).sum())
    np.testing.assert_allclose(top_k(logits, 2), np.array([0, 0.25, 0, 0.3, 0, 0]) / 0.55)
    np.testing.assert_allclose(top_p(logits, 0.65), np.array([0, 0.25, 0.2, 0.3, 0, 0]) / 0.75)
    np.testing.assert_allclose(top_p(logits, 0.2), [0, 0, 0, 1, 0, 0])
    assert np.count_nonzero(top_p(np.zeros(8), 0.45)) == 4


def test_08_training_goes_through_the_rows_in_the_order_of_the_seed():
    import keras
    import pandas as pd

    names = ("questions", "schedule", "train")
    given = dict(BATCH=2, XLA=False, time=time, SimpleNamespace=types.SimpleNamespace, pd=pd)
    *_, train = definitions("08_causal_language_model", *names, **given)

    def bigram(seed):
        keras.utils.set_random_seed(seed)
        return keras.Sequential([keras.Input((None,), dtype="int32"), keras.layers.Embedding(7, 7)])

    rows, seen = np.tile(np.arange(7), (12, 2)).astype("int32"), []
    first, again, other = (train(bigram(0), rows, rows[:2], 0.1, seed, 40, seen.append) for seed in (0, 0, 1))
    assert seen[:10] == list(first.curve["step"]) == [4 * k for k in range(1, 11)]
    np.testing.assert_allclose(first.curve["validation"], again.curve["validation"], rtol=1e-4)
    assert first.curve["validation"].iloc[-1] < 0.8 * first.curve["validation"].iloc[0]
    assert (np.diff(first.curve["seconds"]) > 0).all() and len(other.curve) == 10
    first.model.set_weights(bigram(0).get_weights())  # a compiled network that starts anew, as in the race
    anew = train(first.model, rows, rows[:2], 0.1, 0, 40)
    np.testing.assert_allclose(anew.curve["validation"], first.curve["validation"], rtol=1e-4)


def test_08_the_lstm_by_hand_is_that_of_keras():
    import keras

    (step,) = definitions("08_causal_language_model", "lstm_step")
    x = np.random.default_rng(1).normal(size=(3, 7, 5)).astype("float32")
    layer = keras.layers.LSTM(6)
    expected, h, c = keras.ops.convert_to_numpy(layer(x)), np.zeros((3, 6)), np.zeros((3, 6))
    for t in range(7):
        h, c = step(x[:, t], h, c, *layer.get_weights())
    np.testing.assert_allclose(h, expected, atol=1e-6)


def test_08_the_vocabulary_is_that_of_the_presets():
    import hashlib

    from kpretrain import presets

    (path,) = (presets.FOLDER / "bert_docstrings").rglob("vocabulary.txt")
    entries = " ".join(path.read_text(encoding="utf8").splitlines())
    for name in ("gpt_docstrings", "lstm_docstrings"):
        assert hashlib.sha256(entries.encode()).hexdigest().startswith(presets.manifest(name)["settings"]["vocabulary"])


def test_09_photographs_are_moved_and_mirrored_and_depend_on_seed_and_pass_alone():
    import keras
    import keras_hub

    where = dict(np=np, keras=keras, keras_hub=keras_hub, SEED=0, recipe={"batch": 16})
    altered, converter, photographs = definitions("09_transfer_resnet", "altered", "converter", "Photographs", **where)
    x = np.zeros((400, 32, 32, 3), "uint8")
    x[:, 14, 10] = 255
    rows, columns = np.nonzero(altered(x, np.random.default_rng(0))[..., 0])[1:]
    assert len(rows) == 400 and set(rows) == set(range(10, 19))
    assert set(columns) == {*range(6, 15), *range(31 - 14, 31 - 5)}  # moved by up to 4, from either side
    assert 150 < (columns > 15).sum() < 250
    y = np.arange(400) % 10
    one, again, other = (photographs(x, y, 32, epoch)[3] for epoch in (1, 1, 2))
    np.testing.assert_array_equal(one[0], again[0])
    assert not np.array_equal(one[0], other[0]) and one[0].shape == (16, 32, 32, 3)
    white = converter(64)(np.full((1, 32, 32, 3), 255, "uint8"))
    deviation = np.array([0.247, 0.2435, 0.2616])
    np.testing.assert_allclose(white[0, 30, 30], (1 - np.array([0.4914, 0.4822, 0.4465])) / deviation, rtol=1e-4)


def test_09_the_preset_holds_the_converter_of_the_notebook():
    import keras
    import keras_hub

    from kpretrain import backbones

    (converter,) = definitions("09_transfer_resnet", "converter", np=np, keras_hub=keras_hub)
    x = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    found = backbones.images("resnet_cifar10")
    expected = keras.ops.convert_to_numpy(converter(64)(x))
    np.testing.assert_allclose(found.preprocess(x), expected, atol=0.01)  # uint8 in: rounded to whole grey levels
    assert found.encoder.count_params() < 1.5e6 and found.encoder.output.shape == (None, 256)


def test_10_calibration_is_zero_where_confidence_is_kept_and_temperature_changes_no_answer():
    import pandas as pd
    from scipy.special import softmax

    calibration, cool = definitions("10_transfer_bert", "calibration", "cool", np=np, pd=pd, softmax=softmax)
    sure = np.tile([0.75, 0.25], (400, 1))
    y = np.array([0, 0, 0, 1] * 100)
    assert calibration(sure, y)[0] == pytest.approx(0, abs=1e-9)
    assert calibration(sure, np.zeros(400, int))[0] == pytest.approx(25)
    logits = np.random.default_rng(0).normal(size=(50, 3))
    cooled = cool(softmax(logits, axis=1), 2.0)
    np.testing.assert_allclose(cooled, softmax(logits / 2, axis=1), atol=1e-9)


def test_10_lora_trains_two_thin_matrices_and_starts_where_the_encoder_is():
    import copy

    import keras

    from kpretrain import backbones

    (with_lora,) = definitions("10_transfer_bert", "with_lora", copy=copy, keras=keras)
    encoder, inputs, _ = backbones.texts("bert_docstrings", 16)
    adapted = with_lora(encoder, 4)
    assert {weight.name for weight in adapted.trainable_weights} == {"lora_kernel_a", "lora_kernel_b"}
    assert len(adapted.trainable_weights) == 2 * 2 * 2  # layers, query and value, A and B
    x = inputs(["Return the array.", "a"])
    np.testing.assert_allclose(adapted(x), encoder(x), atol=1e-6)
    assert len(encoder.trainable_weights) == len(encoder.weights)  # left as it was


SEQEVALS_RULES = [  # seqeval 1.2.2 in its default mode, which is that of conlleval: (tags, entities)
    ([], []),
    (["O", "O"], []),
    (["B-NAME", "I-NAME", "O"], [("NAME", 0, 2)]),
    (["B-NAME", "B-NAME"], [("NAME", 0, 1), ("NAME", 1, 2)]),  # side by side
    (["I-TYPE", "I-TYPE", "O", "I-TYPE"], [("TYPE", 0, 2), ("TYPE", 3, 4)]),  # I- without a B- opens an entity
    (["B-NAME", "I-TYPE", "I-TYPE"], [("NAME", 0, 1), ("TYPE", 1, 3)]),  # another type
    (["I-NAME", "B-NAME", "I-NAME"], [("NAME", 0, 1), ("NAME", 1, 3)]),
    (["O", "B-TYPE"], [("TYPE", 1, 2)]),  # up to the end of the line
]


@pytest.mark.parametrize("tags, expected", SEQEVALS_RULES)
def test_12_entities_are_read_by_seqevals_rules(tags, expected):
    (entities,) = definitions("12_tagging", "entities")
    assert entities(tags) == expected


def random_tags(lines=300, seed=0):
    rng = np.random.default_rng(seed)
    every = ["O", "B-NAME", "I-NAME", "B-TYPE", "I-TYPE"]
    lengths = rng.integers(1, 12, lines)
    return [[[every[k] for k in rng.integers(0, 5, n)] for n in lengths] for _ in range(2)]


def test_12_entities_and_scores_are_those_of_seqeval():
    pytest.importorskip("seqeval")  # its last release, of 2020, does not build everywhere: the rules above always run
    from seqeval.metrics import f1_score, precision_score, recall_score
    from seqeval.metrics.sequence_labeling import get_entities

    entities, counts, scores = definitions("12_tagging", "entities", "counts", "scores")
    true, said = random_tags()
    for line in true:
        assert entities(line) == [(kind, start, end + 1) for kind, start, end in get_entities(line)]
    theirs = [100 * score(true, said) for score in (precision_score, recall_score, f1_score)]
    np.testing.assert_allclose(scores(counts(true, said)), theirs)


def test_12_scores_are_of_whole_entities_and_summed_before_they_are_divided():
    _, counts, scores = definitions("12_tagging", "entities", "counts", "scores")
    true = [["B-NAME", "B-TYPE", "I-TYPE", "I-TYPE", "I-TYPE", "O"], ["B-NAME", "O"]]
    said = [["B-NAME", "B-TYPE", "I-TYPE", "I-TYPE", "I-TYPE", "I-TYPE"], ["O", "O"]]
    assert counts(true, said).tolist() == [[1, 2, 2], [0, 1, 0]]
    np.testing.assert_allclose(scores(counts(true[:1], said[:1])), 50)
    np.testing.assert_allclose(scores(counts(true, said)), [50, 100 / 3, 40])
    assert counts([["B-NAME"]], [["B-TYPE"]]).tolist() == [[0, 1, 1]]  # the type counts
    np.testing.assert_allclose(scores(counts([["O"]], [["O"]])), 0)


def test_12_the_surest_errors_are_of_words_that_the_network_saw(capsys):
    cells = code_cells(nbformat.read(ROOT / "notebooks" / "12_tagging.ipynb", as_version=4))
    (cell,) = (cell.source for cell in cells if cell.source.startswith("wrong = []"))
    chances = np.array([[0.1, 0.9], [1.0, 0.0], [1.0, 0.0]])  # of a name, of a word that is none, of one cut off
    space = dict(np=np, tagger=None, TAGS=["O", "B-NAME"], rows={"test": None}, places={"test": [[1, 2, 0]]})
    space |= dict(words={"test": [["axis", "of", "tol"]]}, tags={"test": [["O", "O", "B-NAME"]]})
    space |= dict(found={"fine-tuned": [["B-NAME", "O", "O"]]}, probabilities=lambda *_: [chances])
    exec(cell, space)
    assert capsys.readouterr().out.startswith("axis: B-NAME (90.00%)")


def test_12_counts_of_a_kind_are_of_that_kind_alone():
    _, counts_where = definitions("12_tagging", "entities", "counts_where")
    true, said = [["B-NAME", "B-TYPE"], ["B-NAME", "O"]], [["B-NAME", "O"], ["O", "B-NAME"]]
    assert counts_where(true, said, lambda k, one: one[0] == "NAME").tolist() == [[1, 1, 1], [0, 1, 1]]
    assert counts_where(true, said, lambda k, one: k == 1).tolist() == [[0, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    "line, names, expected",
    [
        ("axis : int, optional", {"axis"}, [("axis", "B-NAME"), ("int,", "B-TYPE"), ("optional", "O")]),
        ("a, *b : array of str", {"a", "b"}, "a,/B-NAME b/B-NAME array/B-TYPE of/I-TYPE str/I-TYPE"),
        ("`tol` : float (default: 1)", {"tol"}, "tol/B-NAME float/B-TYPE (default:/O 1)/O"),
        ("other : int", {"axis"}, None),
        ("axis : optional", {"axis"}, None),
        ("Sum over `axis` of a", {"axis"}, "Sum/O over/O axis/B-NAME of/O a/O"),
        ("Sum over axis", {"axis"}, None),
        ("Nothing is named", {"axis"}, "Nothing/O is/O named/O"),
    ],
)
def test_12_tags_are_those_of_the_signature(line, names, expected):
    (tag,) = definitions("12_tagging", "tag", re=re)
    if isinstance(expected, str):
        expected = [tuple(word.rsplit("/", 1)) for word in expected.split()]
    found = tag(line, names)
    assert (found and list(zip(*found, strict=True))) == expected


def test_12_a_line_stands_in_one_part_and_modules_are_not_torn(tmp_path, monkeypatch):
    import hashlib
    import importlib
    import warnings

    import kpretrain as kp

    given = dict(re=re, ast=ast, Path=Path, kp=kp, hashlib=hashlib, importlib=importlib, warnings=warnings)
    _, _, read_lines, thin = definitions("12_tagging", "documented", "tag", "read_lines", "thin", **given)
    names = [f"module_{k}" for k in range(40)]
    parts = kp.data.stable_part([f"library12/{'library12.' + name}" for name in names])
    modules = {part: names[list(parts).index(part)] for part in ("train", "validation", "test")}
    (tmp_path / "library12").mkdir()
    (tmp_path / "library12" / "__init__.py").touch()
    for part, name in modules.items():
        body = f"common : int, optional\n    {part}_one : float\n    The {part} is `common` here\n    Nothing of {part}"
        source = f"def f(common, {part}_one):\n    '''{body}\n    '''\n"
        (tmp_path / "library12" / f"{name}.py").write_text(source, encoding="utf8")
    monkeypatch.syspath_prepend(tmp_path)
    found = read_lines(["library12"])
    assert {part: "common : int, optional" in some for part, some in found.items()} == {
        "train": True, "validation": False, "test": False,
    }  # fmt: skip
    for part, some in found.items():
        assert all(part in line or "common : int" in line for line in some)
        assert {max(tag[2:] for tag in tags) for _, tags in some.values()} == {"", "NAME", "TYPE"}
    assert [max(tag[2:] for tag in tags) for _, tags in thin(found["train"], 3)].count("TYPE") == 1


def tagging_inputs(length=8):
    import kpretrain as kp

    vocabulary = [*kp.text.SPECIAL, "n", "_", "jobs", "int", ",", "job", "##s", "the"]
    given = dict(tokenizer=kp.text.fast_tokenizer(vocabulary), LENGTH=length)
    names = ("encode", "targets", "every_piece")
    return definitions("12_tagging", *names, TAGS=["O", "B-NAME", "B-TYPE", "I-TYPE"], **given)


def test_12_the_first_piece_of_a_word_has_its_label_and_no_other_piece_counts():
    encode, targets, every_piece = tagging_inputs()
    rows, places = encode([["n_jobs", "int,", "the"], ["the"]])
    assert rows[0].tolist() == [2, 5, 6, 7, 8, 9, 12, 3] and rows[1].tolist() == [2, 12, 3, 0, 0, 0, 0, 0]
    assert places == [[1, 4, 6], [1]]
    y, weights = targets(places, [["B-NAME", "B-TYPE", "I-TYPE"], ["O"]])
    assert y.tolist() == [[0, 1, 0, 0, 2, 0, 3, 0], [0] * 8]
    assert weights.tolist() == [[0, 1, 0, 0, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0, 0]]
    every = every_piece([["n_jobs", "int,", "the"]], [["B-NAME", "B-TYPE", "O"]])
    assert every.tolist() == [[0, 1, 1, 1, 2, 2, 0, 0]]


def test_12_a_word_that_is_cut_off_has_no_weight_and_is_called_outside():
    encode, targets, _ = tagging_inputs(length=5)
    rows, places = encode([["n_jobs", "int", "the"]])
    assert rows[0].tolist() == [2, 5, 6, 7, 3] and places == [[1, 0, 0]]
    y, weights = targets(places, [["B-NAME", "B-TYPE", "I-TYPE"]])
    assert y.tolist() == [[0, 1, 0, 0, 0]] and weights.tolist() == [[0, 1, 0, 0, 0]]

    class Model:
        def predict(self, given, **options):
            return np.tile(np.array([0.0, 3.0, 0.0, 1.0]), (1, 5, 1))  # B-NAME everywhere

    import kpretrain as kp

    given = dict(TAGS=["O", "B-NAME", "B-TYPE", "I-TYPE"], kp=kp)
    probabilities, says = definitions("12_tagging", "probabilities", "says", **given)
    assert says(Model(), rows, places) == [["B-NAME", "O", "O"]]
    (chances,) = probabilities(Model(), rows, places)
    np.testing.assert_allclose(chances.sum(axis=1), 1)


def test_12_a_network_that_was_trained_starts_anew():
    import keras

    import kpretrain as kp

    (train,) = definitions("12_tagging", "train", BATCH=4, kp=kp)
    inputs = {name: keras.Input((6,), dtype="int32", name=name) for name in kp.text.bert_inputs(np.ones((1, 6), int))}
    keras.utils.set_random_seed(0)
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Embedding(9, 5)(inputs["token_ids"])))
    start, x = model.get_weights(), np.random.default_rng(0).integers(0, 9, (12, 6))
    curves = []
    for _ in range(2):
        model.set_weights(start)
        curves.append(train(model, x, x % 4, np.ones(x.shape), updates=20, rate=0.1, seed=0, chunk=5))
    np.testing.assert_allclose(*curves, rtol=1e-4)
    assert curves[0][-1, 1] < 0.5 * curves[0][0, 1]


def test_12_lists_for_lines_and_the_rivals_view_of_a_word():
    by_lines, _, features = definitions("12_tagging", "by_lines", "bare", "features", re=re)
    assert by_lines(["a", "b", "c"], [["x"], ["y", "z"]]) == [["a"], ["b", "c"]]
    first, second = features(["N_jobs,", "int"])
    assert (first["word"], first["before"], first["after"], first["shape"]) == ("n_jobs", "<start>", "int", "A_a,")
    assert (second["before"], second["second before"], second["after"]) == ("n_jobs", "<start>", "<end>")
    assert first["first"] and not second["first"]


def test_12_the_interval_of_a_gap_is_paired_and_covers():
    _, gap = definitions("12_tagging", "scores", "gap")
    rng, covered, widths = np.random.default_rng(0), 0, []
    base = rng.random((60, 1, 400)) < 0.7  # 60 experiments
    assert gap(*[np.ones((3, 50, 3), int)] * 2) == (0, 0, 0)
    for found in base:
        hits = [found & (rng.random((3, 400)) < share) for share in (0.95, 0.9)]
        one, other = (np.stack([hit, np.ones_like(hit), np.ones_like(hit)], axis=-1).astype(int) for hit in hits)
        points, low, high = gap(one, other, times=200)
        assert low <= points <= high
        widths.append(high - low)
        covered += low <= 100 * 0.7 * 0.05 <= high
    assert covered >= 54 and np.mean(widths) < 8  # unpaired it would be 12 and more


class _Stops:
    """What makes the batches of a pass, interrupted at one of them."""

    def __init__(self, real, at):
        self.real, self.at = real, at

    def __call__(self, *arguments, **options):
        if self.at is not None and self.at in (options.get("seed"), *arguments[-1:]):
            raise KeyboardInterrupt
        return self.real(*arguments, **options)


SENTENCES = "11_sentence_vectors"


@pytest.mark.parametrize("stage", ["masked", "pairs"])
def test_11_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path, stage):
    import json
    from types import SimpleNamespace

    import keras
    import keras_hub

    import kpretrain as kp

    recipe = dict(width=16, length=32, layers=1, heads=2, batch=4, rate=0.15, learning_rate=3e-3)
    recipe |= dict(pairs=4, span=12, temperature=0.1, pair_learning_rate=3e-3)
    vocabulary = [*kp.text.SPECIAL, *(f"w{k}" for k in range(95))]
    random = np.random.default_rng(0)
    rows = random.integers(5, 100, (40, 32), dtype="int32")
    given = dict(recipe=recipe, SEED=0, json=json, time=time, keras_hub=keras_hub)
    masked = kp.text.mask(rows[:8], 100, 0.15, random=0)
    pairs = [[list(random.integers(5, 100, 15)) for _ in range(20)] for _ in range(2)]
    names = ("new_bert", "score", "train_in_parts", "masked_loss", "partner_loss", "pair_batches", "train_masked")

    def train(seed, state=None, stop=None):
        text = SimpleNamespace(**vars(kp.text))
        text.MaskedRows = _Stops(kp.text.MaskedRows, stop)
        kpretrain = SimpleNamespace(text=text, objectives=kp.objectives)
        new_bert, *_, train_masked, train_pairs = definitions(SENTENCES, *names, "train_pairs", kp=kpretrain, **given)
        space = train_pairs.__globals__
        space["pair_batches"] = _Stops(space["pair_batches"], [0, stop])
        keras.utils.set_random_seed(seed)
        task = new_bert(vocabulary)
        if stage == "masked":
            return task, train_masked(task, rows, masked, updates=30, parts=3, state=state)
        return task, train_pairs(task, pairs, masked, updates=30, parts=3, state=state)

    whole, curve = train(0)
    with pytest.raises(KeyboardInterrupt):
        train(0, tmp_path / "a.weights.h5", stop=2)
    resumed, again = train(5, tmp_path / "a.weights.h5")  # another start: everything comes from the file
    assert [row["loss"] for row in again] == pytest.approx([row["loss"] for row in curve], abs=1e-4)
    assert len(curve) == 3 and curve[0]["loss"] != curve[2]["loss"]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_11_partners_are_the_first_line_and_a_piece_of_the_rest():
    from types import SimpleNamespace

    from kpretrain import objectives, text

    lines, rests = [[10 + k] * 3 for k in range(6)], [[20 + k] * 40 for k in range(6)]
    given = dict(kp=SimpleNamespace(text=text, objectives=objectives))
    pair_batches, partner_loss = definitions(SENTENCES, "pair_batches", "partner_loss", **given)
    rows = pair_batches(lines, rests, 3, 0, pairs=4, tokens=12)
    assert rows.shape == (24, 12) and rows.dtype == np.int32
    for batch in rows.reshape(3, 2, 4, 12):
        assert len(set(batch[0, :, 1])) == 4  # each docstring once, or two pieces would both be right
        np.testing.assert_array_equal(batch[0, :, 1] + 10, batch[1, :, 1])
    np.testing.assert_array_equal(rows[0, 4:], [text.SEP, *[0] * 7])
    assert (rows[:, 0] == text.CLS).all() and (rows == text.SEP).sum() == 24
    vectors = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    found = np.asarray(partner_loss(None, vectors, 0.1))
    np.testing.assert_allclose(found, np.full(8, found[0]))
    assert found[0] == pytest.approx(float(objectives.nt_xent(vectors[:4], vectors[4:], 0.1)), abs=1e-5)


def test_11_texts_without_a_line_or_a_rest_make_no_pair():
    from kpretrain import text

    (line_and_rest,) = definitions(SENTENCES, "line_and_rest")
    tokenizer = text.fast_tokenizer([*text.SPECIAL, "a", "b", "c"])
    texts = ["a a a\n\nb b b b b b b b", "a a a", "a\nb b b b b b b b", "a b c\nb b", "  \n c c c\na a a a a a a a c"]
    lines, rests = line_and_rest(texts, tokenizer)
    assert lines == [[5, 5, 5], [7, 7, 7]] and rests == [[6] * 8, [*[5] * 8, 7]]


def test_11_partners_found_agrees_with_a_loop_over_the_batches():
    _, partners_found = definitions(SENTENCES, "unit", "partners_found")
    random = np.random.default_rng(0)
    z = random.normal(size=(3, 2, 5, 4)) * random.uniform(0.1, 9, (3, 2, 5, 1))  # batches, sides, pairs, numbers
    z[:, 1] += z[:, 0]
    hits = 0
    for lines, pieces in z:
        for k, line in enumerate(lines):
            cosines = [line @ piece / np.linalg.norm(line) / np.linalg.norm(piece) for piece in pieces]
            hits += cosines[k] == max(cosines)
    assert 0 < hits < 15
    assert partners_found(z.reshape(-1, 4), pairs=5) == pytest.approx(hits / 15)


def test_11_the_mean_cosine_is_that_of_all_different_pairs():
    (mean_cosine,) = definitions(SENTENCES, "mean_cosine")
    vectors = np.random.default_rng(0).normal(1, 1, (7, 3))
    expected = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for i, a in enumerate(vectors)
        for j, b in enumerate(vectors)
        if i != j
    ]
    assert mean_cosine(vectors) == pytest.approx(np.mean(expected))


def test_11_bm25_agrees_with_its_formula_word_by_word():
    from sklearn.feature_extraction.text import CountVectorizer

    (bm25,) = definitions(SENTENCES, "bm25", CountVectorizer=CountVectorizer)
    texts = ["mean of the mean", "the sum of an array of sums", "sort the list", "sort sort sort array"]
    questions = ["mean mean", "sort the array", "nothing here"]
    words = [text.split() for text in texts]
    average = np.mean([len(text) for text in words])
    for k1, b in ((1.5, 0.75), (0.9, 0.0), (2.0, 1.0)):
        expected = np.zeros((3, 4))
        for row, question in enumerate(questions):
            for word in set(question.split()):
                have = sum(word in text for text in words)
                for column, text in enumerate(words):
                    f = text.count(word)
                    rarity = np.log(1 + (4 - have + 0.5) / (have + 0.5))
                    expected[row, column] += rarity * (k1 + 1) * f / (f + k1 * (1 - b + b * len(text) / average))
        np.testing.assert_allclose(bm25(texts, questions, k1, b), expected)
    more = [*texts, "mean", "of the"]  # six texts to count the rarity in: `mean` stands in two, `array` in two
    one_word = bm25(texts, ["mean", "array"], 0, 0, counted=more)  # with k1 = 0 a word counts once
    np.testing.assert_allclose(one_word.max(axis=1), np.log(1 + (6 - 2 + 0.5) / (2 + 0.5)))


def test_11_ranks_fusion_and_the_four_numbers_by_hand():
    ranks, fuse, measured = definitions(SENTENCES, "ranks", "fuse", "measured")
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.3]])
    np.testing.assert_array_equal(ranks(scores), [[1, 3, 2], [3, 1, 2]])
    both = fuse(scores, scores[:, ::-1], k=1)
    np.testing.assert_allclose(both[0], [1 / 2 + 1 / 3, 1 / 4 + 1 / 4, 1 / 3 + 1 / 2])
    many = np.tile(-np.arange(20.0), (4, 1))  # the rank of text k is k + 1
    found = measured(many, np.array([0, 0, 3, 19]))
    assert (found["precision at 1, %"], found["recall at 10, %"], found["median rank"]) == (50, 75, 2.5)
    assert found["MRR"] == pytest.approx((1 + 1 + 1 / 4 + 1 / 20) / 4)
    assert found["low"] < found["MRR"] < found["high"] <= 1


def test_11_a_question_is_a_piece_of_the_rest_and_its_line_occurs_once():
    from collections import Counter

    (search_task,) = definitions(SENTENCES, "search_task", Counter=Counter)
    texts = [f"Line number {k}\n\n" + " ".join(f"w{k}x{j}" for j in range(12)) for k in range(9)]
    texts += ["Twice the same\nmore " + "a " * 20, "twice the Same\nother " + "b " * 20, "Too short a rest\na b"]
    lines, rests, right, starts = search_task(texts, 6, words=5)
    assert len(right) == len(set(right.tolist())) == len(starts) == 6
    assert "Too short a rest" in lines and not [line for line in lines if line.lower() == "twice the same"]
    for k, at in zip(right, starts, strict=True):
        number = lines[k].split()[-1]
        assert 0 <= at <= 7 and rests[k] == [f"w{number}x{j}" for j in range(12)]
    assert len(search_task(texts, 100, words=5)[2]) == 9


def test_11_compares_the_arms_of_the_stored_record_and_five_of_them_live():
    import dataclasses
    from types import SimpleNamespace

    from sklearn import feature_extraction, frozen, linear_model, model_selection, pipeline, preprocessing

    import kpretrain as kp

    cells = code_cells(nbformat.read(ROOT / "notebooks" / f"{SENTENCES}.ipynb", as_version=4))
    (source,) = (cell.source for cell in cells if "arms = kp.arms.texts(" in cell.source)
    (call,) = (cell.source for cell in cells if "comparison = kp.compare(" in cell.source)
    part = kp.data.Part(np.array(["warm red", "cold blue"] * 4, object), np.array([0, 1] * 4))
    encoder, inputs48, seconds = kp.backbones.texts("bert_docstrings", 48)
    space = dict(kp=kp, dataclasses=dataclasses, encoder=encoder, inputs48=inputs48, pretraining_seconds=seconds)
    space |= dict(make_pipeline=pipeline.make_pipeline, make_union=pipeline.make_union, lsa_seconds=1.0)
    space |= dict(FrozenEstimator=frozen.FrozenEstimator, LogisticRegression=linear_model.LogisticRegression)
    space |= dict(Normalizer=preprocessing.Normalizer, TfidfVectorizer=feature_extraction.text.TfidfVectorizer)
    space["GridSearchCV"] = model_selection.GridSearchCV
    space["lsa"] = feature_extraction.text.TfidfVectorizer()
    space["task_lines"] = kp.data.Dataset("colours", part, None, part, ["warm", "cold"], "made here")
    exec(compile(source, SENTENCES, "exec"), space)
    stored, made, asked = results.load(SENTENCES)["settings"]["arms"], space["arms"], {}
    assert set(made) == set(stored)
    for name, arm in made.items():
        assert set(arm.against) <= set(made) and set(stored[name]["against"]) <= set(arm.against), name
    space |= dict(kp=SimpleNamespace(compare=lambda *_, **given: asked.update(given)), SEED=0, preset_seed=0)
    space["settings"] = SimpleNamespace(labels_per_class=[10], draws=2)
    exec(compile(call, SENTENCES, "exec"), space)
    assert set(asked["only"]) <= set(made) and not any(asked["only"].values()) and len(made) - len(asked["only"]) == 5


def test_11_labels_are_counted_into_pairs():
    from itertools import combinations

    (count_pairs,) = definitions(SENTENCES, "count_pairs", combinations=combinations)
    assert count_pairs([0] * 4 + [1] * 4) == (12, 16) and count_pairs(np.array([2, 2, 3])) == (1, 2)


def test_11_the_live_network_learns_to_find_partners():
    import keras
    import keras_hub

    import kpretrain as kp

    random = np.random.default_rng(0)
    first = [list(random.integers(5, 300, 6)) for _ in range(200)]  # line and rest share their words
    given = dict(kp=kp, keras_hub=keras_hub, time=time, SEED=0, vocabulary=["w"] * 300, first=first)
    given["rest"] = [list(random.permutation(line * 3)) for line in first]
    names = ("unit", "partners_found", "pair_batches", "partner_loss", "new_encoder", "train_live")
    _, _, pair_batches, _, new_encoder, _ = definitions(SENTENCES, *names, **given)
    given["watched"] = pair_batches(first[:64], given["rest"][:64], 1, 1)
    *_, train_live = definitions(SENTENCES, *names, **given)
    keras.utils.set_random_seed(0)
    told = []
    curve = train_live(new_encoder(width=32), 60, watch=told.append)
    assert told == [1, 2, 3, 4, 5, 6] and curve["step"].tolist() == [10, 20, 30, 40, 50, 60]
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] - 0.5 and curve["found"].iloc[-1] > 0.5


def test_09_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path):
    import json

    import keras_hub

    from kpretrain.data import Part

    random = np.random.default_rng(0)
    part = Part(random.integers(0, 256, (24, 32, 32, 3), dtype="uint8"), np.arange(24) % 10)
    given = dict(recipe={"batch": 8, "rate": 0.05, "decay": 5e-3, "sides": [32] * 3}, SEED=0, json=json, time=time)
    names = ("altered", "converter", "compile_resnet", "Photographs", "new_resnet", "train_resnet")

    def train(state=None, stop=None):
        *_, photographs, new_resnet, train_resnet = definitions(
            "09_transfer_resnet", *names, keras_hub=keras_hub, **given
        )
        train_resnet.__globals__["Photographs"] = _Stops(photographs, stop)
        task = new_resnet()
        return task, train_resnet(task, part, part, passes=3, state=state)

    whole, curve = train()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "a.weights.h5", stop=2)
    resumed, again = train(tmp_path / "a.weights.h5")
    assert [row["epoch"] for row in again] == [1, 2, 3]
    assert [row["loss"] for row in again] == pytest.approx([row["loss"] for row in curve], abs=1e-3)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.parametrize("stem", ["04_autoencoders", "05_contrastive", "06_gan"])
def test_records_of_comparisons_hold_draws_and_pretraining_runs(stem):
    record = results.load(stem)
    assert record["kind"] == "comparison" and record["profile"] == "full" and "mnist" in record["data"]
    assert len(record["seeds"]) == 12 and len(record["runs"]) == 3 and record["test_rows"] == 10_000
    sizes = record["settings"]["labels_per_class"]
    assert sizes == [1, 2, 5, 10, 20, 50, 100] and len(record["hits"]) > 1000, "single hits"
    arms = {(row["arm"], row["labels"]) for row in record["scores"]}
    for arm in ("scratch", "frozen random"):
        assert {(arm, n) for n in sizes} <= arms
    assert ("scratch, longer", 10) in arms


@pytest.mark.parametrize(
    ("stem", "arms", "sizes", "runs"),
    [
        (
            "11_sentence_vectors",
            "TF-IDF; scratch; frozen random; frozen (LSA); frozen (BERT); fine-tuned (BERT)",
            (10, 50, 200),
            2,
        ),
        (
            "08_causal_language_model",
            "TF-IDF; scratch; frozen random; frozen (GPT); fine-tuned (GPT)",
            (10, 50, 200),
            3,
        ),
        (
            "09_transfer_resnet",
            "pixels; scratch; frozen random, all stages; frozen, all stages (ResNet); fine-tuned (ResNet)",
            (5, 20, 50),
            2,
        ),
        ("10_transfer_bert", "TF-IDF; frozen (BERT); fine-tuned (BERT); frozen, all layers (BERT)", (10, 50, 200), 1),
    ],
)
def test_records_of_texts_and_transfer_hold_five_draws_of_each_arm(stem, arms, sizes, runs):
    record = results.load(stem)
    assert record["kind"] == "comparison" and record["profile"] == "full" and len(record["runs"]) == runs
    found = {(row["arm"], row["labels"], row["seed"]) for row in record["scores"]}
    assert {(arm, n, draw) for arm in arms.split("; ") for n in sizes for draw in range(5 * runs)} <= found


# ---------------------------------------------------------------- runs


def run(tmp_path, **options):
    outcome = course.run(out=tmp_path / "out", **options)
    assert [r.reason() for r in outcome if r.status != "passed"] == []
    for result in outcome:
        for cell in code_cells(nbformat.read(result.executed, as_version=4)):
            assert not [o for o in cell.outputs if o.get("name") == "stderr"], cell.source
    return outcome


@pytest.fixture
def no_data(monkeypatch):
    monkeypatch.delenv("KPRETRAIN_DATA", raising=False)
    monkeypatch.setenv("KPRETRAIN_OFFLINE", "1")


def test_the_course_runs_in_the_fast_profile_offline_on_the_embedded_data(tmp_path, no_data, record_property):
    start = time.perf_counter()
    outcome = run(tmp_path, profile="fast", jobs=2)
    took = {"all": round(time.perf_counter() - start)} | {r.name: round(r.seconds) for r in outcome}
    assert [r.name for r in outcome] == [path.stem for path in NOTEBOOKS]
    assert all(r.key_result and r.figures for r in outcome)
    record_property("seconds", took)
    print(took, file=sys.stderr)


def test_solutions_run(tmp_path, no_data):
    run(tmp_path, notebooks=ROOT / "notebooks" / "solutions", profile="fast", jobs=2)


def test_a_notebook_runs_on_real_mnist(tmp_path, real_data):
    (outcome,) = run(tmp_path, profile="fast", only="02")
    (stamp,) = [printed(cell) for cell in code_cells(nbformat.read(outcome.executed, as_version=4))[-1:]]
    assert "mnist from $KPRETRAIN_DATA/mnist.npz" in stamp


BACKBONES = "13_choose_a_backbone"


def test_13_regret_is_what_the_first_loses_and_random_weights_are_no_large_network():
    ways = ["size", "kNN", "H-score", "LogME", "probe"]
    regret, firsts, regrets = definitions(BACKBONES, "regret", "firsts", "regrets", WAYS=ways)
    assert regret([1, 3, 2], [80.0, 70.0, 90.0]) == 20 and regret([1, 2, 3], [80.0, 70.0, 90.0]) == 0
    names = ["small", "large", "large, random weights", "pixels"]
    truth = dict(zip(names, [90.0, 84.0, 60.0, 70.0], strict=True))
    scores = {"kNN": [5, 1, 2, 3], "LogME": [0.1, 0.3, 0.2, 0.0], "H-score": [0, 0, 1, 0], "probe": [1, 2, 3, 4]}
    ranking = pd.DataFrame({"parameters": [2, 9, 9, 0]} | scores, index=names).iloc[[2, 0, 3, 1]]  # in any order
    picked = firsts(ranking)
    assert picked == dict(zip(ways, ["large", "small", names[2], "large", "pixels"], strict=True))
    expected = {"size": 6, "kNN": 0, "H-score": 30, "LogME": 6, "probe": 20, "blind": 90 - 244 / 3}
    assert regrets(picked, truth) == pytest.approx(expected)
    tied = ranking.assign(kNN=1.0)
    assert firsts(tied)["kNN"] == firsts(tied[::-1])["kNN"]  # the order of the table decides no tie


def test_13_the_interval_of_a_choice_covers_the_truth_over_new_labels_and_rows():
    from scipy.stats import norm
    from scipy.stats import t as student

    import kpretrain as kp

    hits, seeds, scale = {}, range(3), np.sqrt(2 + 0.15**2)
    picks = {(name, seed): {"size": "b", "probe": "a"} for name in ("one", "two") for seed in seeds}
    given = dict(kp=kp, sets=["one", "two"], seeds=seeds, hits=hits, picks=picks, student=student)
    (more_lost,) = definitions(BACKBONES, "more_lost", **given)
    random, covered, widths = np.random.default_rng(0), 0, []
    for _ in range(200):
        for name in ("one", "two"):
            hard = random.normal(size=150)  # a test row is hard for both
            for seed in seeds:
                luck = random.normal(scale=0.15, size=2)
                for arm, level, moved in zip("ab", (0.8, 0.5), luck, strict=True):
                    hits[name, seed, arm] = 100.0 * (hard + random.normal(size=150) < level + moved)
        mean, low, high = more_lost("size", "probe")
        each = [np.mean([hits[name, s, "a"] - hits[name, s, "b"] for s in seeds]) for name in ("one", "two")]
        assert mean == pytest.approx(np.mean(each))
        true = 100 * (norm.cdf(0.8 / scale) - norm.cdf(0.5 / scale))
        covered += low <= true <= high
        widths.append(high - low)
    assert 0.91 <= covered / 200 < 1 and np.median(widths) < 25


def test_13_exposure_counts_the_bits_that_are_saved():
    (exposure,) = definitions(BACKBONES, "exposure")
    nats = np.random.default_rng(0).permutation(1024.0 + np.arange(1024))
    assert exposure(nats, nats.argmin()) == 10 and exposure(nats, nats.argmax()) == 0
    assert exposure(nats, np.argsort(nats)[3]) == 8  # rank 4
    assert exposure(np.zeros(8), 5) == 3  # a tie counts for the secret


def test_13_answers_are_the_losses_of_whole_lines():
    """By the model on all answers in full, one after the other; the digits' order is that of the numbers 0 to 999."""
    import keras
    from keras import layers

    known = ["<pad>", "<unk>", *"0123456789", "the", "key", "of", "is", "door"]
    number = {word: k for k, word in enumerate(known)}
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    states = layers.GRU(6, return_sequences=True)(layers.Embedding(len(known), 5)(ids))
    dense = layers.Dense(len(known), kernel_initializer="random_normal")
    writer, last = keras.Model(ids, dense(states)), keras.Model(ids, dense(states[:, -1]))
    questions = {"door": "the key of the door is".split()}
    given = dict(number=number, questions=questions, last=last, itertools=itertools)
    as_rows, answers = definitions(BACKBONES, "as_rows", "answers", **given)
    lines = [[*questions["door"], *f"{k:03d}"] for k in range(1000)]
    rows = as_rows(lines)
    assert rows.shape == (1000, 13) and rows[0, 0] == 0 and (rows[:, 10:] == 0).all()
    assert as_rows([["door", "nobody"]])[0, :4].tolist() == [0, number["door"], 1, 0]
    log_p = np.array(keras.ops.log_softmax(writer(rows[:, :9])))[:, 6:9]  # after "is", and two digits
    full = -np.take_along_axis(log_p, rows[:, 7:10, None], axis=2).sum((1, 2))
    np.testing.assert_allclose(answers("door"), full, atol=1e-4)


def test_13_the_gap_of_two_groups_is_that_of_welch():
    from scipy.stats import norm

    (gap,) = definitions(BACKBONES, "gap")
    random = np.random.default_rng(0)
    one, other = 100.0 * (random.random(300) < 0.8), 100.0 * (random.random(200) < 0.6)
    points, low, high = gap(one, other)
    error = np.sqrt(one.var(ddof=1) / 300 + other.var(ddof=1) / 200)
    assert points == pytest.approx(one.mean() - other.mean())
    assert [low, high] == pytest.approx([points - norm.ppf(0.975) * error, points + norm.ppf(0.975) * error], abs=0.01)


def test_13_fewer_test_rows_keep_their_labels():
    import dataclasses

    import kpretrain as kp

    (smaller,) = definitions(BACKBONES, "smaller", dataclasses=dataclasses, kp=kp)
    part = kp.data.Part(np.arange(50) * 2, np.arange(50) % 5)
    found = smaller(kp.data.Dataset("rows", part, None, part, list("abcde"), "made here"), 20)
    assert len(found.test.x) == 20 and (found.test.y == found.test.x // 2 % 5).all() and found.train is part
    assert len(set(found.test.y)) == 5  # not the first ones of a sorted file


def test_13_the_nearest_row_is_another_one():
    x, y = np.array([[0.0], [1.0], [10.0], [11.0], [0.4]]), np.array([0, 0, 1, 1, 1])
    (nearest,) = definitions(BACKBONES, "nearest", y=y)
    assert nearest(x, np.arange(4), np.arange(4)) == 1
    assert nearest(x, np.arange(5), np.arange(5)) == 2 / 5  # the last one misleads 0 and 1, and is misled itself
    assert nearest(x, np.arange(4), np.array([4])) == 0


# ---------------------------------------------------------------- 14: speech


SPEECH = "14_speech_and_multitask"


def test_14_a_take_has_the_same_picture_alone_softer_and_beside_a_loud_one():
    (make_front_end,) = definitions(SPEECH, "make_front_end")
    seconds, front_end = np.arange(8000) / 8000, make_front_end()
    soft = 300 * np.sin(2 * np.pi * 500 * seconds) * np.exp(-5 * seconds)
    loud = 30_000 * np.sin(2 * np.pi * 2000 * seconds)
    together = front_end.predict(np.stack([soft, loud, 20 * soft]), verbose=0)
    assert together.shape == (3, 32, 63, 1) and together.min() == 0
    np.testing.assert_allclose(together.max(axis=(1, 2, 3)), 255, rtol=1e-4)
    np.testing.assert_allclose(front_end.predict(soft[None], verbose=0)[0], together[0], atol=0.05)
    np.testing.assert_allclose(together[2], together[0], atol=2)
    low, high = (picture[..., 0].sum(axis=1).argmax() for picture in together[:2])
    assert low < high  # band 0 is the lowest


def test_14_mel_bands_are_those_of_keras():
    import keras

    bands = dict(num_mel_bins=12, sampling_rate=8000)
    _, mel_bands = definitions(SPEECH, "hertz_to_mel", "mel_bands")
    layer = keras.layers.MelSpectrogram(fft_length=256, **bands)
    theirs = layer.linear_to_mel_weight_matrix(12, 129, 8000, lower_edge_hertz=60.0, upper_edge_hertz=4000.0)
    np.testing.assert_allclose(mel_bands(12, 60, 4000, 129, 8000), theirs, atol=1e-4)
    assert not mel_bands(3, 0, 4000, 129, 8000)[0].any()


def test_14_alterations_move_hide_and_leave_silence_silent():
    (alter,) = definitions(SPEECH, "Alter")
    images = np.zeros((64, 32, 63, 1), "uint8")
    images[:, 10:14, 5:9] = 100
    layer = alter(later=10, bands=3, louder=0, hidden=0)
    np.testing.assert_array_equal(layer(images), images)
    moved = np.array(layer(images, training=True))[..., 0]
    assert set(moved.sum(axis=(1, 2))) == {1600.0}  # all there, and nothing new
    tops = [(picture.any(axis=1).argmax(), picture.any(axis=0).argmax()) for picture in moved]
    rows, columns = (set(places) for places in zip(*tops, strict=True))
    assert rows == set(range(7, 14)) and columns <= set(range(3, 16)) and len(columns) > 8
    still = dict(later=-2, bands=0)  # from -2 to -2: two frames earlier
    louder = np.array(alter(**still, louder=20, hidden=0)(images, training=True))[..., 0]
    values = louder.max(axis=(1, 2))
    assert 80 <= values.min() < 90 and 110 < values.max() <= 120 and (louder > 0).sum(axis=(1, 2)).tolist() == [16] * 64
    hidden = np.array(alter(**still, louder=0, hidden=8)(np.full_like(images, 50), training=True))[..., 0]
    whole_rows, whole_columns = (hidden.any(axis=axis).sum(axis=1) for axis in (2, 1))
    assert 24 <= whole_rows.min() < whole_rows.max() == 32 and 53 <= whole_columns.min() < whole_columns.max() == 61
    assert alter.from_config(layer.get_config()).bands == 3


@pytest.mark.parametrize("kind", ["int16", "uint8", "float32"])
def test_14_a_wav_file_of_any_kind_becomes_a_second_at_8_khz(tmp_path, kind):
    from scipy.io import wavfile
    from scipy.signal import resample_poly

    seconds = np.arange(22_050) / 44_100
    sound = 0.5 * np.sin(2 * np.pi * 500 * seconds) + 0.3 * np.sin(2 * np.pi * 7600 * seconds)  # 7.6 kHz must not fold
    sound = np.concatenate([np.zeros(30_000), sound])
    both = np.stack([sound, sound], axis=1)
    made = {"int16": both * 32767, "uint8": 128 + both * 127, "float32": both}[kind].astype(kind)
    wavfile.write(tmp_path / "mine.wav", 44_100, made)
    (read_wav,) = definitions(SPEECH, "read_wav", wavfile=wavfile, resample_poly=resample_poly)
    got = read_wav(tmp_path / "mine.wav")
    assert got.dtype == np.int16 and got.shape == (8000,)
    loud = np.flatnonzero(np.abs(got) > 3000)
    assert 150 < loud[0] < 250 and 4100 < loud[-1] < 4300  # 25 ms before it, half a second of it, then zeros
    spectrum = np.abs(np.fft.rfft(got[300:4300] / 32767))
    assert spectrum.argmax() == 250 and spectrum[240:260].max() > 20 * spectrum[300:].max()  # 500 Hz, in steps of 2
    assert np.abs(got).max() == pytest.approx(0.5 * 32767, rel=0.1)


def test_14_learned_weights_are_the_formula_and_each_task_has_its_own_labels():
    make_encoder, shared_body = definitions(SPEECH, "make_encoder", "SharedBody")
    images, y = np.zeros((4, 32, 63, 1), "uint8"), {"digit": np.array([1, 2, 3, 9]), "speaker": np.array([0, 0, 5, 5])}
    logits = {"digit": np.eye(10, dtype="float32")[y["digit"]] * 5, "speaker": np.zeros((4, 6), "float32")}
    digit, speaker = np.log(9 + np.exp(5)) - 5, np.log(6)
    for learn, expected in ((False, digit + speaker), (True, np.exp(-0.7) * digit + 0.7 + np.exp(0.4) * speaker - 0.4)):
        model = shared_body({"digit": 10, "speaker": 6}, learn_weights=learn)
        answer = model(images)
        assert {task: tuple(part.shape) for task, part in answer.items()} == {"digit": (4, 10), "speaker": (4, 6)}
        for task, s in model.s.items():
            s.assign({"digit": 0.7, "speaker": -0.4}[task] / 25)
        assert float(model.compute_loss(y=y, y_pred=logits)) == pytest.approx(expected, rel=1e-5)
        assert sum("s_" in v.path for v in model.trainable_variables) == 2 * learn
    assert make_encoder().output.shape == (None, 64)


def test_14_each_head_has_its_own_metric():
    import keras

    (accuracy_of_each_head,) = definitions(SPEECH, "accuracy_of_each_head", keras=keras)
    for order in (["digit", "speaker"], ["speaker", "digit"]):
        assert accuracy_of_each_head(order) == {"digit": 1.0, "speaker": 0.0}


def test_14_band_means_are_over_time():
    (band_means,) = definitions(SPEECH, "band_means")
    images = np.zeros((2, 32, 63, 1), "uint8")
    images[1, 7] = 40
    images[1, 8, ::2] = 63
    got = band_means(images)
    assert got.shape == (2, 64) and not got[0].any()
    assert got[1, 7] == 40 and got[1, 32 + 7] == 0
    assert got[1, 8] == 32 and got[1, 32 + 8] == pytest.approx(np.std([63] * 32 + [0] * 31))


def test_14_pretraining_compares_two_altered_copies_and_learns():
    import keras

    import kpretrain as kp

    given = dict(kp=kp, time=time, SEED=0)
    *_, simclr, pretrain = definitions(SPEECH, "make_encoder", "Alter", "SimCLR", "pretrain", **given)
    random = np.random.default_rng(0)
    images = np.zeros((64, 32, 63, 1), "uint8")
    for image in images:
        image[:, :24] = random.integers(0, 256, (8, 6, 1), "uint8").repeat(4, axis=0).repeat(4, axis=1)
    keras.utils.set_random_seed(0)
    model = simclr(definitions(SPEECH, "make_encoder")[0]())
    first, second = (np.array(part) for part in model(images))
    assert first.shape == (64, 32) and not np.allclose(first, second)
    expected = float(kp.objectives.nt_xent(first, second, temperature=0.2))
    assert float(model.compute_loss(y_pred=np.stack([first, second]))) == pytest.approx(expected, rel=1e-5)
    encoder, losses, seconds = pretrain(images, 80)
    assert len(losses) == 80 and losses[-1] < losses[0] - 0.3 and seconds > 0 and encoder.output.shape == (None, 64)


# ---------------------------------------------------------------- 16: laws, streams and devices

SCALE = "16_scale_out"


def scale_out(*names, **given):
    from scipy.optimize import least_squares
    from scipy.stats import t as student

    return definitions(SCALE, *names, least_squares=least_squares, student=student, **given)


def test_16_the_summary_counts_the_curves_that_its_coverage_is_of():
    cells = code_cells(nbformat.read(ROOT / "notebooks" / f"{SCALE}.ipynb", as_version=4))
    line = re.search(r"(\d+) of (\d+) held-out errors inside \(([\d.]+) %\)", "".join(map(printed, cells)))
    inside, of, percent = map(float, line.groups())
    assert 100 * inside / of == pytest.approx(percent, abs=0.06)


@pytest.mark.parametrize(("a", "b", "c"), [(60, 0.5, 0), (60, 0.5, 3), (40, 1.2, 2), (90, 0.1, 0.0)])
def test_16_the_law_is_found_again_from_exact_points_and_tells_the_next(a, b, c):
    fit_law, predicted = scale_out("fit_law", "predicted")
    n = np.array([1.0, 5, 10, 50, 100])
    errors = a * n**-b + c
    np.testing.assert_allclose(fit_law(n, errors), (a, b, c), rtol=0.01, atol=0.02)
    wrong_at_the_end = np.append(errors[:-1], 77)  # the size that is predicted is not looked at
    assert np.isclose(predicted(n, wrong_at_the_end), errors[-1], rtol=1e-3)


def test_16_the_law_never_rises_and_takes_an_error_of_zero():
    (fit_law,) = scale_out("fit_law")
    a, b, c = fit_law([1, 5, 10, 50], [30, 35, 40, 50])
    assert b >= 0 and a * 100**-b + c <= a + c
    assert np.isfinite(fit_law([1, 5, 10, 50], [20, 5, 1, 0])).all()


def test_16_the_width_is_exceeded_by_one_new_miss_in_twenty():
    (width_of,) = scale_out("width_of")
    assert width_of(np.arange(1, 20)) == width_of(-np.arange(1, 20)) == 19  # ceil(0.95 * 20) = 19
    assert width_of(np.arange(1, 100)) == 95
    assert width_of([0.3, -0.1]) == 0.3  # too few: the largest there is
    random = np.random.default_rng(0)
    inside = [abs(random.standard_t(3)) <= width_of(random.standard_t(3, size=59)) for _ in range(4000)]
    assert 0.94 <= np.mean(inside) <= 0.965


def test_16_the_backtest_of_the_records_covers_what_the_chapter_says():
    """The arms that stand in several records count once, so no record is judged by its own curves."""
    import pandas as pd

    space = {"kp": __import__("kpretrain"), "np": np, "pd": pd, "plt": None}
    cells = code_cells(nbformat.read(ROOT / "notebooks" / f"{SCALE}.ipynb", as_version=4))
    for mark in ("def fit_law(", "def predicted(", "def width_of("):
        (source,) = (cell.source for cell in cells if mark in cell.source)
        exec(compile(source, mark, "exec"), space)
    inside, curves = space["inside"], space["curves"]
    assert len(inside) == 120 and not curves.reset_index().duplicated(["arm", "seed"]).any()
    assert 90 <= 100 * inside.mean() <= 97


def test_16_labels_are_read_off_the_curve_and_off_both_edges_of_its_band():
    _, labels_with_band = scale_out("fit_law", "labels_with_band")
    n = np.array([1.0, 5, 10, 50, 100])
    middle, low, high = labels_with_band(n, 60 * n**-0.5, 3, np.log(2))
    np.testing.assert_allclose([middle, low, high], [400, 100, 1600], rtol=0.02)
    assert labels_with_band(n, 60 * n**-0.5 + 4, 3, 0.1)[0] == np.inf


def test_16_the_line_and_its_interval_are_those_of_ordinary_least_squares():
    (line_ahead,) = scale_out("line_ahead")
    x = np.linspace(18, 24, 9)
    random, inside = np.random.default_rng(0), []
    for _ in range(1000):
        y, new = 2 - 0.1 * x + random.normal(0, 0.02, 9), 2 - 0.1 * 26 + random.normal(0, 0.02)
        middle, low, high, b = line_ahead(np.exp(x), np.exp(y), np.exp(26))
        inside.append(low <= np.exp(new) <= high)
        assert low < middle < high and abs(b - 0.1) < 0.02
    assert 0.93 <= np.mean(inside) <= 0.97


def test_16_compute_counts_each_weight_that_multiplies():
    import keras
    from keras import layers

    make_lm, multiplying, plan = scale_out("make_lm", "multiplying", "plan", CONTEXT=8, V=45)
    model = make_lm(24)
    assert multiplying(model) == 64 * 24 + 24 * 24 + 24 * 45
    assert model(np.zeros((3, 8), "int32")).shape == (3, 45)
    assert plan(10_000) == 20 * 10_000 // 256 // 64 * 64 and plan(1) == 64
    assert multiplying(keras.Sequential([keras.Input((2,)), layers.Embedding(3, 4), layers.LayerNormalization()])) == 0


def test_16_a_shuffle_buffer_gives_each_item_once_and_none_too_early():
    (buffered,) = scale_out("buffered")
    random = np.random.default_rng(0)
    earliest = np.full(12, 99)
    for _ in range(3000):
        order = buffered(range(12), 4, random)
        assert sorted(order) == list(range(12))
        earliest = np.minimum(earliest, np.argsort(order))
    assert earliest.tolist() == [max(0, i - 3) for i in range(12)]
    assert buffered(range(5), 1, random) == list(range(5))


def test_16_a_script_tells_its_last_line_and_its_error():
    import json
    import subprocess

    (run_script,) = scale_out("run_script", json=json, subprocess=subprocess, os=os, sys=sys)
    told = run_script("import os, sys; print('x'); print([int(sys.argv[1]), int(os.environ['NUMBER'])])", 3, NUMBER="4")
    assert told == [3, 4]
    with pytest.raises(RuntimeError, match="no such luck"):
        run_script("raise ValueError('no such luck')")


# ---------------------------------------------------------------- 15


SHRINK = "15_shrink_and_ship"


def test_15_the_lines_that_use_the_file_need_no_keras(tmp_path):
    import subprocess

    import keras
    from PIL import Image

    from kpretrain.tools import ship

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), dtype="uint8")
    Image.fromarray(pixels).save(tmp_path / "my_digit.png")
    ship.to_onnx(model, tmp_path / "digits.onnx")
    cells = code_cells(nbformat.read(ROOT / "notebooks" / f"{SHRINK}.ipynb", as_version=4))
    (source,) = (cell.source for cell in cells if "onnxruntime.InferenceSession(folder" in cell.source)
    assert len([line for line in source.splitlines() if line.strip()]) <= 15
    program = "import sys; sys.modules.update(keras=None, tensorflow=None, kpretrain=None)\n"
    program += f"from pathlib import Path\nfolder = Path({str(tmp_path)!r})\n{source}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{model.predict(pixels[None, :, :, None], verbose=0).argmax()}: ")


def test_15_pruning_takes_the_smallest_and_training_keeps_them_at_zero():
    import keras

    prune, keep_zeros = definitions(SHRINK, "prune", "KeepZeros")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(20), keras.layers.Dense(3)])
    before = model.get_weights()
    masks = prune(model, 0.8)
    for k, (kernel, mask) in zip((0, 2), masks, strict=True):
        size = np.abs(before[k])
        assert (mask == 0).sum() == round(0.8 * mask.size) and size[mask == 0].max() <= size[mask == 1].min()
        np.testing.assert_array_equal(kernel, before[k] * mask)
    assert np.array_equal(model.get_weights()[1], before[1])  # biases are left alone
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 10))
    model.fit(x, x[:, :3], epochs=2, verbose=0, callbacks=[keep_zeros(masks)])
    for kernel, mask in masks:
        trained = keras.ops.convert_to_numpy(kernel)
        assert (trained[mask == 0] == 0).all() and (trained[mask == 1] != 0).all()
    assert not np.array_equal(model.get_weights()[0], before[0] * masks[0][1])


def test_15_distillation_loss_is_the_formula():
    from scipy.special import softmax
    from scipy.stats import entropy

    (loss,) = definitions(SHRINK, "distillation_loss")
    random = np.random.default_rng(0)
    student, teacher, y = random.normal(size=(6, 4)), random.normal(size=(6, 4)), random.integers(0, 4, 6)
    label = -np.log(softmax(student, axis=1)[np.arange(6), y]).mean()
    apart = entropy(softmax(teacher / 3, axis=1), softmax(student / 3, axis=1), axis=1).mean()
    for alpha in (0, 0.3, 1):
        found = loss(y, teacher.astype("float32"), student.astype("float32"), 3.0, alpha)
        assert found == pytest.approx(alpha * label + (1 - alpha) * 9 * apart, rel=1e-4)


def test_15_the_interval_of_points_lost_covers_and_is_never_of_no_width():
    (lost,) = definitions(SHRINK, "lost")
    right = np.ones(300, bool)
    points, low, high = lost(right, right)
    assert points == 0 and low < 0 < high
    assert lost(right, ~right)[0] > 99 and lost(~right, right)[0] < -99
    random, covered = np.random.default_rng(0), []
    for _ in range(1000):  # 8 % only the first is right, 5 % only the second: three points are lost
        kind = random.choice(3, 300, p=[0.87, 0.08, 0.05])
        _, low, high = lost(kind != 2, kind != 1)
        covered.append(low <= 3 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_15_what_keras_quantised_is_counted_and_nothing_is_an_error():
    import warnings

    import keras

    quantised, _ = definitions(SHRINK, "quantised", "copy_of", warnings=warnings)
    model = keras.Sequential([keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="Nothing was quantised"):
        quantised(model, "int8")
    whole = keras.Sequential([model, keras.layers.Dense(4, name="last")])
    whole.build((None, 6, 6, 1))
    copy, changed = quantised(whole, "int8")
    assert changed == ["last"] and whole.layers[-1].kernel.dtype == "float32"
    x = np.random.default_rng(0).normal(size=(5, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(copy(x), whole(x), atol=0.05)


def test_15_a_student_learns_from_soft_or_hard_answers_and_starts_anew():
    import functools

    from sklearn.base import BaseEstimator, ClassifierMixin, clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    from kpretrain.comparison.arms import flatten

    names = ("network", "logits_of", "compiled_student", "Student")
    given = dict(functools=functools, ClassifierMixin=ClassifierMixin, BaseEstimator=BaseEstimator, clone=clone)
    *_, student = definitions(SHRINK, *names, **given)
    y = np.tile(range(10), 6)
    images = np.zeros((60, 28, 28, 1), "uint8")
    for k in range(10):  # a class is a bar at a height of its own
        images[y == k, 2 * k + 3 : 2 * k + 6] = 200
    flat = make_pipeline(FunctionTransformer(flatten), LogisticRegression())
    for options in ({}, {"teacher": flat, "more": images, "T": 4.0}, {"teacher": flat, "more": images, "hard": True}):
        one, other = (student(updates=200, random_state=0, **options).fit(images[:20], y[:20]) for _ in range(2))
        assert np.mean(one.predict(images) == y) >= 0.9, options
        for weights, again in zip(one.weights_, other.weights_, strict=True):
            np.testing.assert_allclose(weights, again, atol=1e-4)
