"""The checks of notebook 03."""

import numpy as np

from .judge import numbers, say, unsolved


def convolution_sizes(answer):
    """Notebook 03: the side of the feature map after conv 5x5 valid, pool 2, conv 3x3 same, conv 3x3 stride 2 same."""
    if unsolved(answer):
        return say("there is no list yet. Write the four sides, for instance [28, 14, 14, 7].")
    answer, right = numbers(answer).tolist(), [24, 12, 12, 6]
    if answer == right:
        return say(None)
    if len(answer) != 4:
        return say(f"four layers give four sides; you have {len(answer)}.")
    layers = ["5x5 'valid'", "pooling by 2", "3x3 'same'", "3x3 'same' with stride 2"]
    rules = [
        "valid: side - kernel + 1",
        "half, rounded down",
        "same keeps the side",
        "same with a stride: side / stride, rounded up",
    ]
    first = next(k for k in range(4) if answer[k] != right[k])
    return say(f"after {layers[first]} the side is not {answer[first]:g}. The rule is: {rules[first]}.")


def shift_images(function):
    """Notebook 03: `function(images, rng)` shifts each image by its own -2 to 2 pixels, filling with zeros."""
    image = np.zeros((28, 28, 1), "uint8")
    image[10:18, 10:18] = 255
    images = np.repeat(image[None], 200, 0)
    before = images.copy()
    answer = function(images, np.random.default_rng(0))
    if unsolved(answer):
        return say("the function returns nothing. It should return an array of the same shape.")
    if not np.array_equal(images, before):
        return say("the input array was changed. Work on a copy.")
    answer = np.asarray(answer)
    if answer.shape != images.shape or answer.dtype != images.dtype:
        return say(f"wanted {images.dtype} {images.shape}, got {answer.dtype} {answer.shape}.")
    corners = {tuple(np.argwhere(shifted[..., 0] > 0).min(0) - 10) if shifted.any() else None for shifted in answer}
    if len(corners) == 1:
        return say("all images are shifted alike. Draw a shift for each image.")
    if any(corner is None or max(map(abs, corner)) > 2 for corner in corners):
        return say("a shift is larger than 2 pixels.")
    if len(corners) < 20:
        return say(f"of the 25 shifts from -2 to 2 only {len(corners)} occur. rng.integers leaves its upper end out.")
    corner = np.zeros((50, 28, 28, 1), "uint8")
    corner[:, 27, 27] = 255
    shifted = np.asarray(function(corner, np.random.default_rng(1)))
    if shifted[:, :25].any() or shifted[:, :, :25].any():
        return say("what leaves on one side comes back on the other. np.roll does that; fill with zeros.")
    return say(None)
