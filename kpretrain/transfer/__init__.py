"""Reusing an encoder: frozen as a scikit-learn transformer (`Features`), or trained on as a classifier (`FineTune`).

An encoder is any keras.Model or Layer that turns inputs into one array of features. Both estimators take raw rows, such
as uint8 images or strings; `preprocess` turns them into what the encoder reads.
"""

from .encoders import cut_encoder, fresh
from .features import Features
from .finetune import FineTune

__all__ = ["Features", "FineTune", "cut_encoder", "fresh"]
