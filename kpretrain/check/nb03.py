"""The checks of notebook 03."""

import numpy as np

from .judge import CHANGED, exercise, match_each, numbers, returned, unsolved, wrong_if


@exercise
def convolution_sizes(answer):
    """Notebook 03: the side of the feature map after conv 5x5 valid, pool 2, conv 3x3 same, conv 3x3 stride 2 same."""
    wrong_if(unsolved(answer), "there is no list yet. Write the four sides, for instance [28, 14, 14, 7].")
    sides = numbers(answer, 4, "four layers give four sides; you have {}.")
    problems = [
        f"after 5x5 'valid' the side is not {sides[0]:g}. The rule is: valid: side - kernel + 1.",
        f"after pooling by 2 the side is not {sides[1]:g}. The rule is: half, rounded down.",
        f"after 3x3 'same' the side is not {sides[2]:g}. The rule is: same keeps the side.",
        f"after 3x3 'same' with stride 2 the side is not {sides[3]:g}. "
        "The rule is: same with a stride: side / stride, rounded up.",
    ]
    match_each(sides, (24, 12, 12, 6), {}, problems)


@exercise
def receptive_fields(answer):
    """Notebook 03: the side of the receptive field after the same four layers."""
    wrong_if(unsolved(answer), "there is no list yet. Write the four sides, for instance [5, 10, 15, 20].")
    fields = numbers(answer, 4, "four layers give four sides; you have {}.")
    message = "after {} the side is not {:g}. The rule is: the side before, plus (kernel - 1) times {}."
    layers = ["5x5", "pooling by 2", "the first 3x3", "the second 3x3"]
    steps = ["1", "1: pooling has a kernel of 2", "2: neighbours are 2 pixels apart", "2: its own stride comes later"]
    problems = [message.format(*three) for three in zip(layers, fields, steps, strict=True)]
    match_each(fields, (5, 6, 10, 14), {}, problems)


@exercise
def shift_images(function):
    """Notebook 03: `function(images, rng)` shifts each image by its own -2 to 2 pixels, filling with zeros."""
    images = np.zeros((200, 28, 28, 1), "uint8")
    images[:, 10:18, 10:18] = 255
    rng, kind = np.random.default_rng(0), "an array of the same shape"
    answer = np.asarray(returned(function, images, rng, kind=kind, changed=CHANGED))
    alike = answer.shape == images.shape and answer.dtype == images.dtype
    wrong_if(not alike, f"wanted {images.dtype} {images.shape}, got {answer.dtype} {answer.shape}.")
    corners = {tuple(np.argwhere(shifted[..., 0] > 0).min(0) - 10) if shifted.any() else None for shifted in answer}
    wrong_if(len(corners) == 1, "all images are shifted alike. Draw a shift for each image.")
    far = any(corner is None or max(map(abs, corner)) > 2 for corner in corners)
    wrong_if(far, "a shift is larger than 2 pixels.")
    problem = f"of the 25 shifts from -2 to 2 only {len(corners)} occur. rng.integers leaves its upper end out."
    wrong_if(len(corners) < 20, problem)
    corner = np.zeros((50, 28, 28, 1), "uint8")
    corner[:, 27, 27] = 255
    shifted = np.asarray(function(corner, np.random.default_rng(1)))
    back = shifted[:, :25].any() or shifted[:, :, :25].any()
    wrong_if(back, "what leaves on one side comes back on the other. np.roll does that; fill with zeros.")
    filled = (shifted > 0).sum(axis=(1, 2, 3)).max() > 1
    wrong_if(filled, "what becomes free repeats the border. Fill it with zeros.")
