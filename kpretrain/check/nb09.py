"""The checks of notebook 09."""

import numpy as np

from .judge import exercise, match, match_each, numbers, returned, unsolved, wrong_if


@exercise
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
    wrong_if(unsolved(answer), "the function returns nothing. It should return the model.")
    problem = f"it returns {type(answer).__name__}. Change the model that is given, and return it."
    wrong_if(answer is not model, problem)
    same = all(map(np.array_equal, before, model.get_weights()))
    wrong_if(not same, "weights have changed. Only `trainable` should.")
    every = list(model._flatten_layers(include_self=False))
    norms = [layer for layer in every if isinstance(layer, keras.layers.BatchNormalization)]
    free = [layer for layer in norms if layer.trainable_variables]
    trained = {id(variable) for variable in model.trainable_variables}
    dense = [layer for layer in every if isinstance(layer, keras.layers.Dense)]
    stuck = [layer for layer in dense if not all(id(variable) in trained for variable in layer.weights)]
    problem = "nothing trains. Set trainable of the whole model to True before you hold anything."
    wrong_if(len(stuck) == len(dense), problem)
    problem = f"{len(stuck)} of {len(dense)} Dense layers do not train: a model that is frozen freezes all in it."
    wrong_if(stuck, problem)
    problem = "no BatchNormalization is held. Setting a model's trainable sets it for all in it, so do that first."
    wrong_if(len(free) == len(norms), problem)
    where = "those in inner models" if free == [layer for layer in norms if layer not in model.layers] else "some"
    problem = f"{where} still train: {len(free)} of {len(norms)}. A layer that has layers must be gone into."
    wrong_if(free, problem)


@exercise
def class_weights(function):
    """Notebook 09: `function(y)` gives {class: weight}, the weights of `class_weight="balanced"`."""
    y = np.array([2, 0, 0, 2, 0, 3, 0, 0, 0, 2])
    answer = returned(function, y, kind="a dict, {class: weight}")
    problem = f"a dict is wanted, {{class: weight}}; yours is a {type(answer).__name__}."
    wrong_if(not isinstance(answer, dict), problem)
    problem = f"the classes here are 0, 2 and 3 (1 does not occur); your keys are {sorted(answer)}."
    wrong_if(sorted(answer) != [0, 2, 3], problem)
    got, counts = numbers([answer[label] for label in (0, 2, 3)]), np.array([6, 3, 1])
    right, less = 10 / (3 * counts), "A class with more rows must weigh less."
    mean = "the proportions are right, but the mean weight of a row is not 1:"
    wrong = {
        f"these are the counts. {less}": counts,
        f"these are the shares. {less}": counts / 10,
        f"{mean} 1 / count is too small.": 1 / counts,
        f"{mean} divide by the number of classes.": 10 / counts,
        "the weights sum to 1. It is the mean over the rows that should be 1.": right / right.sum(),
        "the commonest class weighs 1. It is the mean over the rows that should be 1.": right / right.min(),
    }
    match(got, right, wrong, f"for 6, 3 and 1 rows the weights are {right.round(3)}, yours are {got.round(3)}.")


@exercise
def backbone_cost(answer):
    """Notebook 09: passes for 200 pictures, 10 epochs: all trained, frozen and run each time, features once."""
    problem = "there are no numbers yet. Give three: (all trained, frozen in each epoch, computed once)."
    wrong_if(unsolved(answer), problem)
    got = numbers(answer, 3, "three numbers are wanted, you gave {}.")
    wrong = {
        (0, 2000): "the first lacks the way back: forward is one unit, backward two more.",
        (0, 4000): "the first counts the way back alone. Forward is one unit, backward two more.",
        (1, 6000): "a frozen backbone needs no way back.",
        (1, 200): "in the second case the backbone runs again in each epoch.",
        (2, 2000): "in the third case the backbone runs once for each picture, however many epochs the head takes.",
    }
    places = zip(("first", "second", "third"), got, strict=True)
    otherwise = [f"the {place} is not {value:g}. Count pictures, epochs, ways." for place, value in places]
    match_each(got, (6000, 2000, 200), wrong, otherwise)
