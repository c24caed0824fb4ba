"""Bets on experiments, and checks of exercises that say what is wrong rather than only "no".

bets.py has the bets, judge.py what the checks share, and nb00.py to nb16.py the checks of one notebook each.
"""

# The function `bets` takes the place of its module here, as `check.bets()` is what the notebooks call.
from .bets import bet, bets, settle
from .nb00 import paired_gain
from .nb01 import leak_count, word_deletion
from .nb02 import dense_parameters, logit_gradient, macro_f1
from .nb03 import convolution_sizes, receptive_fields, shift_images
from .nb04 import masked_loss, patches_seen, rebuilt_point
from .nb05 import contrastive_loss, precision_at
from .nb06 import coverage, generator_losses
from .nb07 import alter, unigram_loss
from .nb08 import min_p, perplexity
from .nb09 import backbone_cost, class_weights, free_but_held
from .nb10 import brier, merged_kernel
from .nb11 import ranking_loss, reciprocal_rank
from .nb12 import align_all, legal
from .nb13 import leep, shortlist_regret
from .nb14 import mel_edges, uncertainty_loss
from .nb15 import quantise, soft_targets
from .nb16 import labels_needed, parallel_share
