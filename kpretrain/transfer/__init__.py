"""Reusing an encoder: frozen as a scikit-learn transformer (`Features`), or trained on as a classifier (`FineTune`;
`ContrastiveTune` for a few labelled texts).

An encoder is any keras.Model or Layer that turns inputs into one array of features. All take raw rows, such
as uint8 images or strings; `preprocess` turns them into what the encoder reads.
"""

from ..session import spare_the_tuner
from .encoders import all_layers, cut_encoder, fresh
from .features import Features
from .finetune import FineTune
from .pairs import ContrastiveTune

spare_the_tuner()  # short fits are what all of this does

__all__ = ["ContrastiveTune", "Features", "FineTune", "all_layers", "cut_encoder", "fresh"]
