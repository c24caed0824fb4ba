"""The checks of notebook 09."""

import numpy as np

from .judge import numbers, say, unsolved


def free_but_held(function):
    """Notebook 09: `function(model)` sets a model free, holds each BatchNormalization in it, and returns it."""
    import keras

    def part(*more):
        rows = [keras.Input((4,)), keras.layers.Dense(4), keras.layers.BatchNormalization()]
        return keras.Sequential([*rows, *more])

    model = part(part(part()), keras.layers.Dense(2))
    model.trainable = False
    before = model.get_weights()
    answer = function(model)
    if unsolved(answer):
        return say("the function returns nothing. It should return the model.")
    if answer is not model:
        return say(f"it returns {type(answer).__name__}. Change the model that is given, and return it.")
    if any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)):
        return say("weights have changed. Only `trainable` should.")
    every = list(model._flatten_layers(include_self=False))
    norms = [layer for layer in every if isinstance(layer, keras.layers.BatchNormalization)]
    free = [layer for layer in norms if layer.trainable_variables]
    trained = {id(variable) for variable in model.trainable_variables}
    dense = [layer for layer in every if isinstance(layer, keras.layers.Dense)]
    stuck = [layer for layer in dense if not all(id(variable) in trained for variable in layer.weights)]
    if len(stuck) == len(dense):
        return say("nothing trains. Set trainable of the whole model to True before you hold anything.")
    if stuck:
        return say(f"{len(stuck)} of {len(dense)} Dense layers do not train: a model that is frozen freezes all in it.")
    if len(free) == len(norms):
        return say(
            "no BatchNormalization is held. Setting a model's trainable sets it for all in it, so do that first."
        )
    if free:
        inside = [layer for layer in norms if layer not in model.layers]
        where = "those in inner models" if free == inside else "some"
        return say(f"{where} still train: {len(free)} of {len(norms)}. A layer that has layers must be gone into.")
    return say(None)


def class_weights(function):
    """Notebook 09: `function(y)` gives {class: weight}, the weights of `class_weight="balanced"`."""
    y = np.array([2, 0, 0, 2, 0, 3, 0, 0, 0, 2])
    answer = function(y.copy())
    if unsolved(answer):
        return say("the function returns nothing. It should return a dict, {class: weight}.")
    if not isinstance(answer, dict):
        return say(f"a dict is wanted, {{class: weight}}; yours is a {type(answer).__name__}.")
    classes, counts = np.unique(y, return_counts=True)
    if sorted(answer) != classes.tolist():
        return say(f"the classes here are 0, 2 and 3 (1 does not occur); your keys are {sorted(answer)}.")
    got, right = numbers([answer[label] for label in classes.tolist()]), len(y) / (len(classes) * counts)
    if got.size == right.size and np.allclose(got, right):
        return say(None)
    wrong = {
        "these are the counts. A class with more rows must weigh less.": counts,
        "these are the shares. A class with more rows must weigh less.": counts / len(y),
        "the proportions are right, but the mean weight of a row is not 1: 1 / count is too small.": 1 / counts,
        "the proportions are right, but the mean weight of a row is not 1: divide by the number of classes.": len(y)
        / counts,
        "the weights sum to 1. It is the mean over the rows that should be 1.": 1 / counts / (1 / counts).sum(),
        "the commonest class weighs 1. It is the mean over the rows that should be 1.": counts.max() / counts,
    }
    near = [problem for problem, value in wrong.items() if got.size == right.size and np.allclose(got, value)]
    return say(near[0] if near else f"for 6, 3 and 1 rows the weights are {right.round(3)}, yours are {got.round(3)}.")


def backbone_cost(answer):
    """Notebook 09: passes for 200 pictures, 10 epochs: all trained, frozen and run each time, features once."""
    if unsolved(answer):
        return say("there are no numbers yet. Give three: (all trained, frozen in each epoch, computed once).")
    got, right = numbers(answer), np.array([6000, 2000, 200])
    if got.size != 3:
        return say(f"three numbers are wanted, you gave {got.size}.")
    hints = {
        (0, 2000): "the first lacks the way back: forward is one unit, backward two more.",
        (0, 4000): "the first counts the way back alone. Forward is one unit, backward two more.",
        (1, 6000): "a frozen backbone needs no way back.",
        (1, 200): "in the second case the backbone runs again in each epoch.",
        (2, 2000): "in the third case the backbone runs once for each picture, however many epochs the head takes.",
    }
    if not (off := np.flatnonzero(got != right)).size:
        return say(None)
    k = int(off[0])
    return say(
        hints.get(
            (k, got[k]), f"the {('first', 'second', 'third')[k]} is not {got[k]:g}. Count pictures, epochs, ways."
        )
    )
