"""Each exercise's check knows the right answer and the typical wrong ones."""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import confusion_matrix, f1_score

from kpretrain import check, results


def gain(pretrained, scratch, unit=100):
    return results.interval((pretrained - scratch) * unit)


def unpaired(pretrained, scratch):
    half = 2.776 * np.sqrt(pretrained.var(ddof=1) / 3 + scratch.var(ddof=1) / 3) * 100
    mean = (pretrained.mean() - scratch.mean()) * 100
    return mean, mean - half, mean + half


def twins(train, test):
    return int(np.isin(test, train).sum())


def delete(text, share, rng):
    words = text.split()
    kept = [word for word in words if rng.random() >= share]
    return " ".join(kept or [str(rng.choice(words))])


def delete_with(change):
    return lambda text, share, rng: change(text.split(), share, rng)


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum()


def slope(logits, label):
    return softmax(logits) - np.eye(len(logits))[label]


def macro(confusion):
    truth, guess = zip(*[pair for pair in np.ndindex(confusion.shape) for _ in range(confusion[pair])], strict=True)
    assert np.array_equal(confusion_matrix(truth, guess), confusion)
    return f1_score(truth, guess, average="macro")


def average(kind):
    def score(confusion):
        precision, recall = np.diag(confusion) / confusion.sum(0), np.diag(confusion) / confusion.sum(1)
        f1 = 2 * precision * recall / (precision + recall)
        means = {"precision": precision.mean(), "recall": recall.mean(), "classes": f1, "odd": 0.5}
        means["accuracy"] = np.trace(confusion) / confusion.sum()
        means["weighted"] = np.average(f1, weights=confusion.sum(1))
        means["of means"] = 2 * precision.mean() * recall.mean() / (precision.mean() + recall.mean())
        return means[kind]

    return score


def shift(images, rng, reach=2, roll=False, each=True, top=1, axes=2):
    moved = np.zeros_like(images)
    for row, image in zip(moved, images, strict=True):
        by = (*rng.integers(-reach, reach + top, axes), 0)[:2] if each else (1, 1)
        if roll:
            row[:] = np.roll(image, by, (0, 1))
        else:
            padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
            row[:] = padded[reach - by[0] : reach - by[0] + 28, reach - by[1] : reach - by[1] + 28]
    return moved


def shift_with_edges(images, rng):
    """Repeats the border in place of zeros."""
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    places = rng.integers(0, 5, (len(images), 2))
    return np.stack([one[y : y + 28, x : x + 28] for one, (y, x) in zip(padded, places, strict=True)])


def shift_rows_only_rolled(images, rng):
    """Fills the columns with zeros and lets the rows come back."""
    moved = np.zeros_like(images)
    for row, image in zip(moved, images, strict=True):
        down, right = rng.integers(-2, 3, 2)
        padded = np.pad(np.roll(image, down, 0), ((0, 0), (2, 2), (0, 0)))
        row[:] = padded[:, 2 - right : 30 - right]
    return moved


def in_place(images, rng):
    images[:] = shift(images, rng)
    return images


def hidden_loss(divide=None, total=False):
    def loss(predicted, target, hidden):
        error = ((predicted - target) ** 2).sum(-1) if total else ((predicted - target) ** 2).mean(-1)
        return (error * hidden).sum() / (divide or hidden.sum())

    return loss


def hidden_loss_in_place(predicted, target, hidden):
    """Changes what it is given, which this exercise does not forbid."""
    predicted -= target
    predicted **= 2
    return predicted[hidden == 1].mean()


def nt_xent(first, second, temperature, normal=True, own=False, rows=slice(None), reduce=np.mean):
    z = np.concatenate([first, second])
    z = z / np.linalg.norm(z, axis=1, keepdims=True) if normal else z
    losses = []
    for i, a in enumerate(z):
        others = [j for j in range(len(z)) if own or j != i]
        share = {j: np.exp(a @ z[j] / temperature) for j in others}
        losses.append(-np.log(share[(i + len(first)) % len(z)] / sum(share.values())))
    return reduce(losses[rows])


def precision(features, labels, k, skip=1, sign=-1):
    order = np.argsort(sign * (features @ features.T), axis=1)[:, skip : skip + k]
    return (labels[order] == labels[:, None]).mean()


def gan_losses(logits):
    return -np.logaddexp(0, logits).mean(), np.logaddexp(0, -logits).mean()


def clipped_losses(d):
    return np.log(1 - d).mean(), -np.log(d).mean()


def covered(real, fake, k=3, own=False, percent=1):
    within = np.sort(np.linalg.norm(real[:, None] - real, axis=-1), axis=1)[:, k - own]
    return percent * (np.linalg.norm(real[:, None] - fake, axis=-1).min(1) <= within).mean()


def eighty_ten_ten(rows, chosen, size, random, hide=0.8, other=0.1, low=5, second=False):
    draw = random.random(rows.shape)
    again = random.random(rows.shape) < 0.1 if second else (hide <= draw) & (draw < hide + other)
    new = np.where(draw < hide, 4, np.where(again, random.integers(low, size, rows.shape), rows))
    return np.where(chosen, new, rows)


def alter_in_place(rows, chosen, size, random):
    rows[:] = eighty_ten_ten(rows, chosen, size, random)
    return rows


def two_draws(rows, chosen, size, random):
    """81 % hidden, 10 % replaced, 9 % as before: two draws, each by itself."""
    other, hide = random.random(rows.shape) < 0.1, random.random(rows.shape) < 0.9
    return np.where(chosen, np.where(other, random.integers(5, size, rows.shape), np.where(hide, 4, rows)), rows)


def floor(train, tokens, size, more=1, mean=np.mean, base=np.e):
    counts = np.bincount(train, minlength=size) + more
    with np.errstate(divide="ignore"):
        return mean(-np.log(counts / counts.sum())[tokens]) / np.log(base)


def text_perplexity(losses, weights, mean=lambda losses, weights: (losses * weights).sum() / weights.sum()):
    return np.exp(mean(losses, weights))


def near_the_best(probabilities, m, of=np.max, whole=True, strict=False, back=True, turn=False):
    least = m * of(probabilities)
    kept = probabilities > least if strict else probabilities >= least
    kept = np.where(kept != turn, probabilities, 0)
    kept = kept / kept.sum() if whole and kept.any() else kept
    return kept if back else -np.sort(-kept)


def none_near_m(probabilities, m):
    """Takes m for a probability, so that nothing is kept and 0 is divided by 0."""
    kept = np.where(probabilities >= m, probabilities, 0)
    with np.errstate(invalid="ignore"):
        return kept / kept.sum()


def near_the_best_in_place(probabilities, m):
    probabilities[:] = near_the_best(probabilities, m)
    return probabilities


def nucleus(probabilities, p):
    order = np.argsort(-probabilities, kind="stable")
    count = np.searchsorted(np.cumsum(probabilities[order]), p) + 1
    kept = np.isin(np.arange(len(order)), order[:count])
    return np.where(kept, probabilities, 0) / probabilities[kept].sum()


def near_the_best_and_another(probabilities, m):
    """Never leaves a token alone."""
    kept = near_the_best(probabilities, m)
    return kept if (kept > 0).sum() > 1 else probabilities


def near_three_sixteenths(probabilities, m):
    """A threshold that does not move with the largest one."""
    kept = np.where(probabilities >= 3 / 16, probabilities, 0)
    return kept / (kept.sum() or 1)


def freed(model, deep=True, free=True, hold=True, result=lambda model: model):
    import keras

    def walk(part):
        for layer in part.layers:
            if isinstance(layer, keras.layers.BatchNormalization) and hold:
                layer.trainable = False
            elif deep and hasattr(layer, "layers"):
                walk(layer)

    if free:
        model.trainable = True
    walk(model)
    return result(model)


def freed_at_the_top_alone(model):
    model.trainable = True
    model.layers[-2].trainable = False
    return model


def freed_and_zeroed(model):
    model.set_weights([0 * weight for weight in model.get_weights()])
    return freed(model)


def balanced(y, change=lambda weights, counts: weights):
    classes, counts = np.unique(y, return_counts=True)
    return dict(zip(classes.tolist(), change(len(y) / len(classes) / counts, counts), strict=True))


def as_scikit_learn(y):
    from sklearn.utils.class_weight import compute_class_weight

    classes = np.unique(y)
    return dict(zip(classes, compute_class_weight("balanced", classes=classes, y=y), strict=True))


def folded(kernel, a, b, alpha, factor=lambda a, b, alpha: alpha / a.shape[1]):
    return kernel + factor(a, b, alpha) * a @ b


def folded_in_place(kernel, a, b, alpha):
    kernel += alpha / a.shape[1] * a @ b
    return kernel


def squares(probabilities, labels, power=2, over_classes=np.sum, over_rows=np.mean):
    off = np.abs(probabilities - np.eye(probabilities.shape[1])[labels])
    return over_rows(over_classes(off**power, axis=1))


def squares_in_place(probabilities, labels):
    probabilities[np.arange(len(labels)), labels] -= 1
    return (probabilities**2).sum(axis=1).mean()


def lines_alone(cosines, temperature, reduce=np.mean, own=True, base=np.e):
    losses = []
    for row, scores in enumerate(cosines):
        shares = np.exp(scores / temperature)
        others = shares.sum() - (0 if own else shares[row])
        losses.append(-np.log(shares[row] / others) / np.log(base))
    return reduce(losses)


def ranking_loss_in_place(cosines, temperature):
    cosines /= temperature
    return lines_alone(cosines, 1)


def ranks(scores, right, first=1, sign=-1):
    order = [list(np.argsort(sign * row)) for row in scores]
    return np.array([first + row.index(answer) for row, answer in zip(order, right, strict=True)])


def of_ranks(scores, right, **options):
    with np.errstate(divide="ignore"):
        return (1 / ranks(scores, right, **options)).mean()


def ranks_in_place(scores, right):
    found = of_ranks(scores, right)
    scores.sort(axis=1)
    return found


def aligned(word_ids, tags, none=None, later="I-{}", outside="O"):
    labels, before = [], None
    for word in word_ids:
        tag = none if word is None else tags[word]
        if word is not None and word == before:
            tag = outside if tag == "O" else later.format(tag[2:]) if later else tag
        labels.append(tag)
        before = word
    return labels


def first_pieces(word_ids, tags):
    return [None if word is None or word in word_ids[:k] else tags[word] for k, word in enumerate(word_ids)]


def made_legal(tags, start=True, other_type=True, instead="B-"):
    mended, before = [], "O" if start else "I-TYPE"
    for tag in tags:
        lost = tag.startswith("I-") and (before == "O" or (other_type and before[2:] != tag[2:]))
        mended.append(tag if not lost else instead + tag[2:] if instead else "O")
        before = tag
    return mended


def legal_in_place(tags):
    tags[:] = made_legal(tags)
    return tags


def aligned_in_place(word_ids, tags):
    word_ids[:] = aligned(word_ids, tags)
    return word_ids


def short_regret(scores, truth, m, sign=-1):
    return truth.max() - truth[np.argsort(sign * scores)[:m]].max()


def leep_terms(q, y, joint=False, by_label=False):
    table = np.stack([q[y == k].sum(axis=0) for k in range(y.max() + 1)]) / len(y)
    if not joint:
        table = table / table.sum(axis=1 if by_label else 0, keepdims=True)
    return np.array([q[row] @ table[label] for row, label in enumerate(y)])


def sorted_in_place(scores, truth, m):
    order = np.argsort(-scores)
    scores[:] = scores[order]
    return truth.max() - truth[order][:m].max()


def marks(low, high, bands, extra=2, to=lambda mel: 700 * (10 ** (mel / 2595) - 1)):
    return to(np.linspace(*(2595 * np.log10(1 + np.array([low, high]) / 700)), bands + extra))


def weighed(losses, s):
    return np.exp(-s) * losses + s


def weighed_in_place(losses, s):
    losses *= np.exp(-s)
    return (losses + s).sum()


def labels(a, b, c, target, *, up=math.ceil, floor=-1, power=lambda b: 1 / b, never=math.inf):
    if target <= c:
        return never
    return up(round((a / (target + floor * c)) ** power(b), 9))


def divided(one, many, workers):
    return (1 - many / one) / (1 - 1 / workers)


def by_columns(weights, bits, most=None, axis=0, rounding=np.round, largest=np.abs):
    scales = largest(weights).max(axis=axis) / (most or 2 ** (bits - 1) - 1)
    return rounding(weights / scales), scales


def quantised_in_place(weights, bits):
    whole, scales = by_columns(weights, bits)
    weights[:] = whole
    return weights, scales


def softened(logits, T, axis=-1):
    powers = np.exp((logits - logits.max(axis=axis, keepdims=True)) / T)
    return powers / powers.sum(axis=axis, keepdims=True)


def overflowing(logits, T):
    powers = np.exp(logits / T)
    return powers / powers.sum(axis=-1, keepdims=True)


def softened_in_place(logits, T):
    logits /= T
    return softened(logits, 1)


RIGHT = [
    (check.shortlist_regret, short_regret),
    (check.shortlist_regret, lambda s, t, m: np.array([short_regret(s, t, m)])),
    (check.leep, lambda q, y: np.log(leep_terms(q, y)).mean()),
    (check.paired_gain, gain),
    (check.paired_gain, lambda a, b: np.array(gain(a, b))),
    (check.leak_count, twins),
    (check.leak_count, lambda train, test: np.isin(test, train).sum()),
    (check.word_deletion, delete),
    (check.dense_parameters, 407_050),
    (check.dense_parameters, np.int64(407_050)),
    (check.logit_gradient, slope),
    (check.logit_gradient, lambda logits, label: slope(logits, label).tolist()),
    (check.macro_f1, macro),
    (check.convolution_sizes, [24, 12, 12, 6]),
    (check.convolution_sizes, (24, 12, 12, 6)),
    (check.convolution_sizes, np.array([24, 12, 12, 6])),
    (check.receptive_fields, [5, 6, 10, 14]),
    (check.receptive_fields, np.array([5, 6, 10, 14])),
    (check.shift_images, shift),
    (check.rebuilt_point, (10, 6, 8, 25)),
    (check.rebuilt_point, (10.0, *np.multiply(10, [0.6, 0.8]), np.float32(25))),
    (check.masked_loss, hidden_loss()),
    (check.masked_loss, hidden_loss_in_place),
    (check.patches_seen, (16, 16)),
    (check.patches_seen, [16, 16.0]),
    (check.contrastive_loss, nt_xent),
    (check.precision_at, precision),
    (check.generator_losses, gan_losses),
    (check.coverage, covered),
    (check.alter, eighty_ten_ten),
    (check.unigram_loss, floor),
    (check.unigram_loss, lambda *given: np.array([floor(*given)])),
    (check.perplexity, text_perplexity),
    (check.min_p, near_the_best),
    (check.min_p, lambda q, m: near_the_best(q, m).tolist()),
    (check.free_but_held, freed),
    (check.class_weights, balanced),
    (check.class_weights, as_scikit_learn),
    (check.backbone_cost, (6000, 2000, 200)),
    (check.backbone_cost, [6e3, 2e3, 2e2]),
    (check.merged_kernel, folded),
    (check.brier, squares),
    (check.ranking_loss, lines_alone),
    (check.ranking_loss, lambda cosines, t: np.mean(np.log(np.exp((cosines - np.diag(cosines)[:, None]) / t).sum(1)))),
    (check.reciprocal_rank, of_ranks),
    (check.reciprocal_rank, lambda s, y: (1 / (s >= s[np.arange(len(y)), y][:, None]).sum(axis=1)).mean()),
    (check.align_all, aligned),
    (check.legal, made_legal),
    (check.legal, lambda tags: tuple(made_legal(tags))),
    (check.brier, lambda q, y: 1 - 2 * q[np.arange(len(y)), y].mean() + (q**2).sum(axis=1).mean()),
    (check.mel_edges, marks),
    (check.mel_edges, lambda low, high, bands: marks(low, high, bands).tolist()),
    (check.uncertainty_loss, lambda losses, s: weighed(losses, s).sum()),
    (check.labels_needed, labels),
    (check.parallel_share, divided),
    (check.parallel_share, lambda one, many, w: w / (w - 1) - w * many / (one * (w - 1))),
    (check.quantise, by_columns),
    (check.soft_targets, softened),
]
WRONG = [
    (check.shortlist_regret, lambda s, t, m: short_regret(s, t, 1), "the first alone"),
    (check.shortlist_regret, lambda s, t, m: -short_regret(s, t, m), "never negative"),
    (check.shortlist_regret, lambda s, t, m: short_regret(s, t, m, 1), "Sort downwards"),
    (check.shortlist_regret, lambda s, t, m: t.max() - t[np.argsort(-s)[m - 1]], "the regret of the m-th"),
    (check.shortlist_regret, lambda s, t, m: t[np.argsort(-s)[:m]].max(), "Subtract it from the best of all"),
    (check.shortlist_regret, lambda s, t, m: t.max() - t[np.argsort(-s)[:m]].mean(), "the mean of the m"),
    (check.shortlist_regret, lambda s, t, m: s.max() - np.sort(s)[-m], "in points of truth"),
    (check.shortlist_regret, lambda s, t, m: t.max() - t[:m].max(), "you have 6"),
    (check.shortlist_regret, lambda s, t, m: short_regret(s, t, m - 1), "Try exactly m of them"),
    (check.shortlist_regret, lambda s, t, m: t, "it returns 5 numbers"),
    (check.shortlist_regret, sorted_in_place, "the input array was changed"),
    (check.leep, lambda q, y: np.log(leep_terms(q, y)).sum(), "that is the sum"),
    (check.leep, lambda q, y: -np.log(leep_terms(q, y)).mean(), "the sign is wrong"),
    (check.leep, lambda q, y: leep_terms(q, y).mean(), "the logarithm is missing"),
    (check.leep, lambda q, y: np.log(leep_terms(q, y).mean()), "the logarithm first"),
    (check.leep, lambda q, y: np.log2(leep_terms(q, y)).mean(), "the natural logarithm"),
    (check.leep, lambda q, y: np.log(leep_terms(q, y, by_label=True)).mean(), "that is P(z | y)"),
    (check.leep, lambda q, y: np.log(leep_terms(q, y, joint=True)).mean(), "is not divided by P(z)"),
    (check.leep, lambda q, y: np.log([1, 1, 1, 1, 1]).mean(), "the most probable class only"),
    (check.leep, lambda q, y: -0.9, "you have -0.9000"),
    (check.paired_gain, lambda a, b: gain(a, b, 1), "that is times 100"),
    (check.paired_gain, lambda a, b: np.array(unpaired(a, b)) / 100, "that is times 100"),
    (check.paired_gain, lambda a, b: gain(b, a), "Subtract scratch from pretrained"),
    (check.paired_gain, unpaired, "the interval is that of two separate groups"),
    (check.paired_gain, lambda a, b: (4.0, 4 - 1.13, 4 + 1.13), "t interval with two degrees of freedom"),
    (check.paired_gain, lambda a, b: 4.0, "returns 1 number(s). Three are wanted"),
    (check.paired_gain, lambda a, b: "4 points", "Three are wanted"),
    (check.paired_gain, lambda a, b: {"mean": 4}, "Three are wanted"),
    (check.leak_count, lambda a, b: len(set(a) & set(b)), "you count clusters"),
    (check.leak_count, lambda a, b: twins(b, a), "you count train rows"),
    (check.leak_count, lambda a, b: len(b) - len(set(b)) + 2, "twins inside the test part"),
    (check.leak_count, lambda a, b: np.isin(b, a), "returns several values. Add them up"),
    (check.leak_count, lambda a, b: [2, 2, 5], "returns several values. Add them up"),
    (check.leak_count, lambda a, b: 7, "has 3 such rows, you found 7"),
    (
        check.word_deletion,
        delete_with(lambda w, share, rng: " ".join(x for x in w if rng.random() < share)),
        "leave a word out",
    ),
    (
        check.word_deletion,
        delete_with(lambda w, share, rng: " ".join(x for x in w if rng.random() >= share)),
        "lose all its words",
    ),
    (check.word_deletion, delete_with(lambda w, share, rng: " ".join(rng.permutation(w)[:700])), "in their old order"),
    (check.word_deletion, delete_with(lambda w, share, rng: " ".join(["<mask>", *w[:700]])), "none may be new"),
    (check.word_deletion, delete_with(lambda w, share, rng: w[:700]), "returns a list. Join the words"),
    (check.word_deletion, lambda text, share, rng: text, "you kept 1000"),
    (check.word_deletion, lambda text, share, rng: "", "you kept 0"),
    (check.dense_parameters, 784 * 512 + 512 * 10, "the biases are missing"),
    (check.dense_parameters, 784 * 512 + 512, "the second layer is missing"),
    (check.dense_parameters, 784 * 512 * 10, "don't multiply them"),
    (check.dense_parameters, 7, "not 7. Inputs times units"),
    (check.dense_parameters, 407_051, "not 407,051"),
    (check.dense_parameters, "407050 weights", "one whole number is wanted"),
    (check.dense_parameters, [401920, 5130], "one whole number is wanted"),
    (check.logit_gradient, lambda logits, label: softmax(logits), "this is the softmax"),
    (check.logit_gradient, lambda logits, label: -slope(logits, label), "the sign is turned round"),
    (check.logit_gradient, lambda logits, label: logits - np.eye(3)[label], "not from the logits"),
    (check.logit_gradient, lambda logits, label: softmax(logits) - 1, "at the true class alone"),
    (check.logit_gradient, lambda logits, label: np.exp(logits) - np.eye(3)[label], "divided by their sum"),
    (check.logit_gradient, lambda logits, label: slope(logits, label)[label], "it returns 1 number(s)"),
    (check.logit_gradient, lambda logits, label: 2 * slope(logits, label), "the example's gradient is"),
    (check.macro_f1, average("weighted"), "this is the weighted average"),
    (check.macro_f1, average("accuracy"), "this is accuracy"),
    (check.macro_f1, average("of means"), "take F1 for each class first"),
    (check.macro_f1, average("precision"), "this is the mean precision"),
    (check.macro_f1, average("recall"), "this is the mean recall"),
    (check.macro_f1, average("classes"), "one number is wanted"),
    (check.macro_f1, average("odd"), "you have 0.5"),
    (
        check.convolution_sizes,
        [28, 14, 14, 7],
        "after 5x5 'valid' the side is not 28. The rule is: valid: side - kernel",
    ),
    (check.convolution_sizes, [24, 11, 11, 6], "after pooling by 2 the side is not 11"),
    (check.convolution_sizes, [24, 12, 10, 5], "after 3x3 'same' the side is not 10. The rule is: same keeps"),
    (check.convolution_sizes, [24, 12, 12, 5], "after 3x3 'same' with stride 2 the side is not 5"),
    (check.convolution_sizes, [24, 12], "four layers give four sides; you have 2"),
    (check.convolution_sizes, 24, "four layers give four sides; you have 1"),
    (check.convolution_sizes, [None] * 4, "after 5x5 'valid' the side is not nan"),
    (check.receptive_fields, [5, 10, 14, 18], "after pooling by 2 the side is not 10"),
    (check.receptive_fields, [5, 6, 8, 10], "after the first 3x3 the side is not 8. The rule is: the side before"),
    (check.receptive_fields, [5, 6, 10, 18], "after the second 3x3 the side is not 18"),
    (check.receptive_fields, [3, 4, 8, 12], "after 5x5 the side is not 3"),
    (check.receptive_fields, [5, 6, 10], "four layers give four sides; you have 3"),
    (check.receptive_fields, "5, 6", "you have 0"),
    (check.shift_images, in_place, "the input array was changed"),
    (check.shift_images, lambda images, rng: shift(images, rng, each=False), "all images are shifted alike"),
    (check.shift_images, lambda images, rng: images, "all images are shifted alike"),
    (check.shift_images, lambda images, rng: shift(images, rng, reach=4), "larger than 2 pixels"),
    (check.shift_images, lambda images, rng: shift(images, rng, top=0), "rng.integers leaves its upper end out"),
    (check.shift_images, lambda images, rng: shift(images, rng, roll=True), "comes back on the other"),
    (check.shift_images, shift_rows_only_rolled, "comes back on the other"),
    (check.shift_images, shift_with_edges, "repeats the border"),
    (check.shift_images, lambda images, rng: shift(images, rng) / 255, "wanted uint8 (200, 28, 28, 1), got float64"),
    (check.shift_images, lambda images, rng: shift(images, rng)[..., 0], "got uint8 (200, 28, 28)"),
    (check.shift_images, lambda images, rng: images.tolist(), "got int64"),
    (check.rebuilt_point, (11, 8.8, 6.6, 4), "that is the code along (0.8, 0.6)"),
    (check.rebuilt_point, (15, 9, 12, 50), "Multiply each"),
    (check.rebuilt_point, (9, 6, 8, 25), "0.6 times the first number plus"),
    (check.rebuilt_point, (10, 8, 6, 25), "the code times 0.6"),
    (check.rebuilt_point, (10, 6, 6, 25), "the code times 0.8"),
    (check.rebuilt_point, (10, 6, 8, 5), "the length of the error"),
    (check.rebuilt_point, (10, 6, 8, 12.5), "the mean over the two numbers"),
    (check.rebuilt_point, (10, 6, 8, 1), "square each before you add"),
    (check.rebuilt_point, (10, 6, 8, 7), "square both differences"),
    (check.rebuilt_point, (10, 6, 8), "you gave 3"),
    (check.masked_loss, lambda p, t, h: ((p - t) ** 2).mean(), "that is the mean over all patches"),
    (check.masked_loss, hidden_loss(divide=10), "divided by the number of all"),
    (check.masked_loss, hidden_loss(total=True), "that is a sum over values"),
    (check.masked_loss, lambda p, t, h: (np.mean(p - t, axis=-1) ** 2)[h == 1].mean(), "every hidden value is off"),
    (check.masked_loss, lambda p, t, h: ((p - t) ** 2).mean(-1), "it returns 10 numbers"),
    (check.masked_loss, lambda p, t, h: 7.0, "you have 7"),
    (check.patches_seen, (48, 16), "48 patches are hidden"),
    (check.patches_seen, (64, 1), "64 is the number of all patches"),
    (check.patches_seen, (8, 4), "the first number is not 8"),
    (check.patches_seen, (16, 4), "pairs grow with the square"),
    (check.patches_seen, (16, 8), "divide them"),
    (check.patches_seen, 16, "two numbers are wanted"),
    (check.contrastive_loss, lambda a, b, t: nt_xent(a, b, t, normal=False), "not scaled to length 1"),
    (check.contrastive_loss, lambda a, b, t: nt_xent(a, b, t, own=True), "among its own rivals"),
    (check.contrastive_loss, lambda a, b, t: nt_xent(a, b, 1.0), "not divided by the temperature"),
    (check.contrastive_loss, lambda a, b, t: nt_xent(a, b, t, reduce=np.sum), "that is the sum"),
    (check.contrastive_loss, lambda a, b, t: nt_xent(a, b, t, rows=slice(4)), "only the first views"),
    (check.contrastive_loss, lambda a, b, t: -nt_xent(a, b, t), "the sign is wrong"),
    (check.contrastive_loss, lambda a, b, t: 0.5, "2n - 1 candidates"),
    (check.contrastive_loss, lambda a, b, t: a, "one finite number is wanted"),
    (check.precision_at, lambda f, y, k: precision(f, y, k, skip=0), "each image finds itself first"),
    (check.precision_at, lambda f, y, k: precision(f, y, k, skip=0, sign=1), "the farthest images"),
    (check.precision_at, lambda f, y, k: 0.9, "you have 0.900"),
    (check.precision_at, lambda f, y, k: y, "it returns 6 numbers"),
    (check.generator_losses, lambda z: gan_losses(z)[0], "Two are wanted"),
    (check.generator_losses, lambda z: gan_losses(z)[::-1], "in the wrong order"),
    (check.generator_losses, lambda z: 3 * np.array(gan_losses(z)), "Take the mean"),
    (check.generator_losses, lambda z: np.array(gan_losses(z)) * [-1, 1], "the first has the wrong sign"),
    (check.generator_losses, lambda z: np.array(gan_losses(z)) * [1, -1], "the second has the wrong sign"),
    (check.generator_losses, lambda z: (-np.log1p(np.exp(z)).mean(), np.log1p(np.exp(-z)).mean()), "it overflows"),
    (check.generator_losses, lambda z: (1.0, 2.0), "you have 1.0000 and 2.0000"),
    (check.generator_losses, lambda z: clipped_losses(np.clip(expit(z), 1e-7, 1 - 1e-7)), "is cut off"),
    (check.coverage, lambda real, fake, k: covered(fake, real, k), "you have"),
    (check.coverage, lambda real, fake, k: covered(real, fake, k, own=True), "the balls are too small"),
    (check.coverage, lambda real, fake, k: covered(real, fake, k + 1), "the balls are too wide"),
    (check.coverage, lambda real, fake, k: covered(real, fake, k, percent=100), "not percent"),
    (check.coverage, lambda real, fake, k: covered(real, fake, 3), "right for k = 3 only"),
    (check.coverage, lambda real, fake, k: real, "One is wanted"),
    (check.alter, lambda *given: eighty_ten_ten(*given)[:, 1:], "the shape should stay"),
    (check.alter, alter_in_place, "the input array was changed"),
    (check.alter, lambda rows, *rest: eighty_ten_ten(rows, rows > 0, *rest[1:]), "were not chosen have changed"),
    (check.alter, lambda *given: eighty_ten_ten(*given, hide=0.7), "80, 10, 10"),
    (check.alter, lambda *given: eighty_ten_ten(*given, second=True), "One draw for each token"),
    (check.alter, two_draws, "One draw for each token"),
    (check.alter, lambda *given: eighty_ten_ten(*given, low=0), "out of range"),
    (check.alter, lambda rows, chosen, size, random: eighty_ten_ten(rows, chosen, 50, random), "whole vocabulary"),
    (check.alter, lambda *given: eighty_ten_ten(*given[:3], np.random.default_rng(5)), "Draw from the generator"),
    (check.unigram_loss, lambda *given: floor(*given, mean=np.sum), "that is the sum"),
    (check.unigram_loss, lambda *given: -floor(*given), "the sign is wrong"),
    (check.unigram_loss, lambda *given: floor(*given, base=2), "bits"),
    (check.unigram_loss, lambda train, tokens, size: floor(tokens, tokens, size), "Count in train"),
    (check.unigram_loss, lambda *given: floor(*given, more=0), "one count more"),
    (check.unigram_loss, lambda *given: np.ones(2), "2 numbers"),
    (check.perplexity, lambda x, w: np.log(text_perplexity(x, w)), "Perplexity is its exponential"),
    (check.perplexity, lambda x, w: np.exp(x.mean()), "padding is counted"),
    (check.perplexity, lambda x, w: np.exp((x * w).mean()), "divided by the number of all places"),
    (check.perplexity, lambda x, w: np.exp(((x * w).sum(1) / w.sum(1)).mean()), "the mean of each row first"),
    (check.perplexity, lambda x, w: np.exp(x)[w == 1].mean(), "the mean of the exponentials"),
    (check.perplexity, lambda x, w: 2 ** x[w == 1].mean(), "not 2"),
    (check.perplexity, lambda x, w: 1 / text_perplexity(x, w), "the sign is wrong"),
    (check.perplexity, lambda x, w: np.exp(x[w == 1].sum()), "exponential of the sum"),
    (check.perplexity, lambda x, w: np.exp((x * w).sum(1) / w.sum(1)), "it returns 3 numbers"),
    (check.perplexity, lambda x, w: 7.0, "you have 7.0000"),
    (check.min_p, lambda q, m: near_the_best(q, m, whole=False), "Divide it by its sum"),
    (check.min_p, lambda q, m: near_the_best(q, m, of=lambda q: 1), "not a probability by itself"),
    (check.min_p, none_near_m, "not a probability by itself"),
    (check.min_p, lambda q, m: near_the_best(q, m, strict=True), "at least, not more than"),
    (check.min_p, lambda q, m: near_the_best(q, m, back=False), "the order of the tokens was changed"),
    (check.min_p, lambda q, m: near_the_best(q, m, turn=True), "these are the unlikely tokens"),
    (check.min_p, nucleus, "which is top-p"),
    (check.min_p, lambda q, m: q, "nothing was taken away"),
    (check.min_p, lambda q, m: q[q > 0.1], "6 numbers are wanted"),
    (check.min_p, lambda q, m: np.ones(6), "should come"),
    (check.min_p, near_the_best_in_place, "the input array was changed"),
    (check.min_p, near_the_best_and_another, "must stay, alone"),
    (check.min_p, near_three_sixteenths, "must stay"),
    (check.free_but_held, lambda model: freed(model, free=False), "nothing trains"),
    (check.free_but_held, lambda model: freed(model, hold=False), "no BatchNormalization is held"),
    (check.free_but_held, lambda model: freed(model, deep=False), "those in inner models still train"),
    (check.free_but_held, freed_at_the_top_alone, "Dense layers do not train"),
    (check.free_but_held, freed_and_zeroed, "weights have changed"),
    (check.free_but_held, lambda model: freed(model, result=lambda model: True), "it returns bool"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: counts), "these are the counts"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: counts / len(y)), "these are the shares"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: 1 / counts), "1 / count is too small"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: 3 * weights), "number of classes"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: weights / weights.sum()), "sum to 1"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: weights / weights.min()), "commonest class"),
    (check.class_weights, lambda y: balanced(y, lambda weights, counts: weights + 1), "for 6, 3 and 1 rows"),
    (check.class_weights, lambda y: balanced(y[y != 3]), "your keys are [0, 2]"),
    (check.class_weights, lambda y: list(balanced(y).values()), "yours is a list"),
    (check.backbone_cost, (2000, 2000, 200), "lacks the way back"),
    (check.backbone_cost, (4000, 2000, 200), "the way back alone"),
    (check.backbone_cost, (6000, 6000, 200), "needs no way back"),
    (check.backbone_cost, (6000, 200, 200), "runs again in each epoch"),
    (check.backbone_cost, (6000, 2000, 2000), "once for each picture"),
    (check.backbone_cost, (6000, 2000, 7), "the third is not 7"),
    (check.backbone_cost, (6000, 2000), "you gave 2"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: 1), "α is left out"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: alpha), "divide by the rank"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: 2 / alpha), "not r / alpha"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: alpha / len(a)), "the width of A"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: alpha / 5), "the length of B"),
    (check.merged_kernel, lambda *given: folded(*given, factor=lambda a, b, alpha: -alpha / 2), "subtracted"),
    (check.merged_kernel, lambda kernel, a, b, alpha: alpha / 2 * a @ b, "the change alone"),
    (check.merged_kernel, lambda kernel, a, b, alpha: alpha / 2 * (kernel + a @ b), "the factor belongs to A B"),
    (check.merged_kernel, lambda kernel, a, b, alpha: kernel.T, "the kernel is (6, 5), and you return (5, 6)"),
    (check.merged_kernel, lambda kernel, a, b, alpha: kernel, "the numbers are not those of"),
    (check.merged_kernel, folded_in_place, "works in place"),
    (check.brier, lambda q, y: squares(q, y, over_classes=np.mean), "over rows and classes"),
    (check.brier, lambda q, y: squares(q, y, over_rows=np.sum), "the sum over the rows"),
    (check.brier, lambda q, y: ((1 - q[np.arange(len(y)), y]) ** 2).mean(), "only the true class"),
    (check.brier, lambda q, y: squares(q, y, power=1), "Square it"),
    (check.brier, lambda q, y: -np.log(q[np.arange(len(y)), y]).mean(), "the log loss"),
    (check.brier, lambda q, y: np.linalg.norm(q - np.eye(3)[y], axis=1).mean(), "no root is wanted"),
    (check.brier, lambda q, y: squares(np.eye(3)[q.argmax(axis=1)], y), "the most probable class only"),
    (check.brier, lambda q, y: (q - np.eye(3)[y]) ** 2, "it returns 12 numbers"),
    (check.brier, lambda q, y: 0.0, "the example's score is"),
    (check.brier, squares_in_place, "the probabilities that were given have changed"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, 1), "not divided by the temperature"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, 1 / t), "multiplied by the temperature"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, t, np.sum), "that is the sum"),
    (check.ranking_loss, lambda cosines, t: -lines_alone(cosines, t), "the sign is wrong"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines.T, t), "pieces that look for their lines"),
    (
        check.ranking_loss,
        lambda cosines, t: (lines_alone(cosines, t) + lines_alone(cosines.T, t)) / 2,
        "both sides are asked",
    ),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, t, own=False), "own piece is missing"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, t, lambda x: np.exp(-np.array(x)).mean()), "mean p"),
    (
        check.ranking_loss,
        lambda cosines, t: lines_alone(cosines, t, lambda x: -np.log(np.exp(-np.array(x)).mean())),
        "logarithm of each line's probability first",
    ),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, t, base=2), "bits"),
    (check.ranking_loss, lambda cosines, t: lines_alone(cosines, t, list), "it returns 3 numbers"),
    (check.ranking_loss, lambda cosines, t: 0.5, "you have 0.5000"),
    (check.ranking_loss, ranking_loss_in_place, "the input array was changed"),
    (check.reciprocal_rank, lambda s, y: of_ranks(s, y, first=0), "has rank 1, not 0"),
    (check.reciprocal_rank, lambda s, y: of_ranks(s, y, first=2), "one too high"),
    (check.reciprocal_rank, lambda s, y: of_ranks(s, y, sign=1), "the lowest score comes first"),
    (check.reciprocal_rank, lambda s, y: ranks(s, y).mean(), "that is the mean rank"),
    (check.reciprocal_rank, lambda s, y: 1 / ranks(s, y).mean(), "1/rank of each question first"),
    (check.reciprocal_rank, lambda s, y: (1 / ranks(s, y)).sum(), "that is the sum"),
    (check.reciprocal_rank, lambda s, y: (ranks(s, y) == 1).mean(), "precision at 1"),
    (check.reciprocal_rank, lambda s, y: (1 / (np.argsort(-s)[np.arange(3), y] + 1)).mean(), "The place of a text"),
    (check.reciprocal_rank, lambda s, y: s[np.arange(len(y)), y].mean(), "these are scores"),
    (check.reciprocal_rank, lambda s, y: ranks(s, y), "it returns 3 numbers"),
    (check.reciprocal_rank, lambda s, y: 0.9, "you have 0.9000"),
    (check.reciprocal_rank, ranks_in_place, "the input array was changed"),
    (check.labels_needed, lambda *given: labels(*given, up=math.floor), "rounded down"),
    (check.labels_needed, lambda *given: labels(*given, up=float), "cannot be divided"),
    (check.labels_needed, lambda *given: labels(*given, floor=0), "the floor c is left out"),
    (check.labels_needed, lambda *given: labels(*given, floor=1), "the floor c is added"),
    (check.labels_needed, lambda *given: labels(*given, power=lambda b: b), "is 1/b, not b"),
    (check.labels_needed, lambda a, b, c, target: math.ceil(a / (target - c) / b), "you divide by b"),
    (check.labels_needed, lambda a, b, c, target: labels(a, b, c, 100 - target), "take it for an accuracy"),
    (check.labels_needed, lambda *given: labels(*given, up=lambda n: int(n) + 1), "exactly 10 with 4 labels"),
    (check.labels_needed, lambda *given: labels(*given, never=0), "the floor is the target, so no number"),
    (check.labels_needed, lambda a, b, c, t: math.ceil((a / (t - c)) ** (1 / b)), "the floor is the target, so no"),
    (
        check.labels_needed,
        lambda a, b, c, target: math.inf if c == target else labels(a, b, c, target, never=-1),
        "above the target, so no number",
    ),
    (check.labels_needed, lambda *given: 75, "it is 74, you have 75"),
    (check.labels_needed, lambda *given: None, "the function returns nothing"),
    (check.parallel_share, lambda one, many, w: one / many, "that is the speed-up"),
    (check.parallel_share, lambda one, many, w: one / many / w, "that is the efficiency"),
    (check.parallel_share, lambda *given: 1 - divided(*given), "was not divided"),
    (check.parallel_share, lambda one, many, w: 1 - many / one, "the time saved"),
    (check.parallel_share, lambda *given: 100 * divided(*given), "a percentage"),
    (check.parallel_share, lambda one, many, w: divided(one, many, 1 / w), "workers is taken for its reciprocal"),
    (check.parallel_share, lambda one, many, w: divided(many, one, w), "the times are exchanged"),
    (check.parallel_share, lambda *given: 0.7, "it is 0.8, you have 0.7"),
    (check.align_all, first_pieces, "only first pieces have a tag"),
    (check.align_all, lambda ids, tags: aligned(ids, tags, later=""), "begins three entities"),
    (check.align_all, lambda ids, tags: aligned(ids, tags, none="O"), "get None, not O"),
    (check.align_all, lambda ids, tags: aligned(ids, tags, outside="I-"), "stays O in all of its pieces"),
    (check.align_all, lambda ids, tags: aligned(ids[1:], tags), "you return 10 tags"),
    (check.align_all, lambda ids, tags: ["O"] * len(ids), "token number 0 should be None"),
    (check.align_all, lambda ids, tags: " ".join(tags), "it returns no list"),
    (check.align_all, aligned_in_place, "word_ids has changed"),
    (check.legal, lambda tags: tags, "nothing has changed"),
    (check.legal, lambda tags: [tag.replace("I-", "B-") for tag in tags], "every I- has become a B-"),
    (check.legal, lambda tags: made_legal(tags, other_type=False), "of another type"),
    (check.legal, lambda tags: made_legal(tags, start=False), "at the start of a line"),
    (check.legal, lambda tags: made_legal(tags, instead=""), "not O"),
    (check.legal, lambda tags: ["O"] * len(tags), "tag number 0 should be B-TYPE"),
    (check.legal, lambda tags: made_legal(tags)[1:], "and you return 10"),
    (check.legal, legal_in_place, "the list that was given has changed"),
    (check.mel_edges, lambda *given: marks(*given, to=lambda mel: mel), "these are mel"),
    (check.mel_edges, lambda low, high, bands: np.linspace(low, high, bands + 2), "equal steps in hertz"),
    (check.mel_edges, lambda low, high, bands: np.geomspace(low, high, bands + 2), "equal ratios of hertz"),
    (check.mel_edges, lambda *given: marks(*given)[1:-1], "the middles of the bands alone"),
    (check.mel_edges, lambda *given: marks(*given, extra=0), "there are too few marks"),
    (check.mel_edges, lambda *given: marks(*given, extra=1), "one mark is missing"),
    (check.mel_edges, lambda *given: marks(*given)[::-1], "they fall"),
    (check.mel_edges, lambda low, *given: marks(0, *given), "starts at 0 Hz"),
    (check.mel_edges, lambda *given: marks(*given, to=lambda mel: 700 * (np.exp(mel / 2595) - 1)), "to the base 10"),
    (check.mel_edges, lambda *given: 5.0, "three bands need 5 marks, you have 1"),
    (check.mel_edges, lambda *given: np.arange(5.0), "from 100 to 4,000 Hz the marks are"),
    (check.uncertainty_loss, lambda losses, s: (np.exp(-s) * losses).sum(), "the price s is missing"),
    (check.uncertainty_loss, lambda losses, s: weighed(losses, s).mean(), "that is the mean"),
    (check.uncertainty_loss, lambda losses, s: (np.exp(s) * losses + s).sum(), "not exp(s)"),
    (check.uncertainty_loss, lambda losses, s: (s * losses + s).sum(), "not s itself"),
    (check.uncertainty_loss, lambda losses, s: (np.exp(-s) * losses - s).sum(), "added, not subtracted"),
    (check.uncertainty_loss, lambda losses, s: (np.exp(-s) * (losses + s)).sum(), "outside the product"),
    (check.uncertainty_loss, lambda losses, s: losses.sum(), "the plain losses"),
    (check.uncertainty_loss, lambda losses, s: (weighed(losses, s) - s / 2).sum(), "not half of it"),
    (check.uncertainty_loss, weighed, "it returns 3 numbers"),
    (check.uncertainty_loss, lambda losses, s: 0.5, "you have 0.5000"),
    (check.uncertainty_loss, weighed_in_place, "the input array was changed"),
    (check.quantise, lambda w, b: by_columns(w, b)[0], "return two things"),
    (check.quantise, lambda w, b: (np.round(w * 127 / 8), 8 / 127), "one scale for all"),
    (check.quantise, lambda w, b: by_columns(w, b, axis=1), "of each row"),
    (check.quantise, lambda w, b: by_columns(w, b, most=1), "largest whole number, 2"),
    (check.quantise, lambda w, b: by_columns(w, b, most=2**b - 1), "half of them are negative"),
    (check.quantise, lambda w, b: by_columns(w, b, most=2 ** (b - 1)), "so divide by 127"),
    (check.quantise, lambda w, b: by_columns(w, b, largest=np.array), "absolute value first"),
    (check.quantise, lambda w, b: (by_columns(w, b)[0], 1 / by_columns(w, b)[1]), "one over the scale"),
    (check.quantise, lambda w, b: by_columns(w, 8), "must depend on bits"),
    (check.quantise, lambda w, b: by_columns(w, b, rounding=np.array), "no whole numbers"),
    (check.quantise, lambda w, b: by_columns(w, b, rounding=np.trunc), "cut off, not rounded"),
    (check.quantise, lambda w, b: by_columns(w, b, rounding=np.floor), "rounded down"),
    (check.quantise, lambda w, b: by_columns(w, b, rounding=lambda w: np.round(w).astype("int8")), "with 12 bits"),
    (check.quantise, lambda w, b: (by_columns(w, b)[0].T[:2], by_columns(w, b)[1]), "should be (3, 3)"),
    (check.quantise, lambda w, b: (by_columns(w, b)[0], [1, 2]), "you have 2"),
    (check.quantise, lambda w, b: (by_columns(w, b)[0] + 1, by_columns(w, b)[1]), "gives others"),
    (check.quantise, quantised_in_place, "the input array was changed"),
    (check.soft_targets, lambda z, T: softened(z, 1), "T is left out"),
    (check.soft_targets, lambda z, T: softened(z, 1 / T), "multiplied by T"),
    (check.soft_targets, lambda z, T: softened(z, 1) / T, "before the softmax"),
    (check.soft_targets, lambda z, T: np.exp(z / T), "do not sum to 1"),
    (check.soft_targets, lambda z, T: softened(z, T, axis=0), "runs over the rows"),
    (check.soft_targets, lambda z, T: np.exp(z / T) / np.exp(z / T).sum(), "runs over everything"),
    (check.soft_targets, lambda z, T: softened(z, T)[0], "the shape should stay (2, 3)"),
    (check.soft_targets, lambda z, T: softened(z, T) * 0.9, "the first row should be"),
    (check.soft_targets, overflowing, "overflow"),
    (check.soft_targets, lambda z, T: overflowing(np.clip(z, -500, 500), T), "overflow"),
    (check.soft_targets, softened_in_place, "the input array was changed"),
]
TAKES_A_VALUE = (
    check.dense_parameters,
    check.convolution_sizes,
    check.rebuilt_point,
    check.patches_seen,
    check.backbone_cost,
)
CHECKS = sorted({exercise for exercise, _ in RIGHT}, key=lambda exercise: exercise.__name__)


def test_every_exercise_is_tried():
    handed_on = {name for name, value in vars(check).items() if callable(value)} - {"bet", "settle", "bets"}
    public = set()
    for path in Path(check.__file__).parent.glob("nb*.py"):
        module = importlib.import_module(f"kpretrain.check.{path.stem}")
        own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        public |= {name for name in own if not name.startswith("_")}
    assert {exercise.__name__ for exercise in CHECKS} == public == handed_on


@pytest.mark.parametrize(("exercise", "answer"), RIGHT)
def test_a_right_answer_passes(exercise, answer, capsys):
    assert exercise(answer) is True
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(("exercise", "answer", "hint"), WRONG)
def test_a_wrong_answer_gets_its_hint(exercise, answer, hint, capsys):
    assert exercise(answer) is False
    out = capsys.readouterr().out
    assert out.startswith("Not yet: ") and hint in out


@pytest.mark.parametrize("unsolved", [None, ...])
@pytest.mark.parametrize("exercise", CHECKS)
def test_an_unsolved_exercise_never_raises(exercise, unsolved, capsys):
    assert exercise(unsolved if exercise in TAKES_A_VALUE else lambda *_: unsolved) is False
    assert capsys.readouterr().out.startswith("Not yet: ")
