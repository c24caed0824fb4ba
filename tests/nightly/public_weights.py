"""The first cells of 09 and 10 against networks of the true size, with random weights: does it fit, how long, how much?

    python tests/nightly/public_weights.py [resnet_50_imagenet] [bert_base_en_uncased]

It is run by hand: it takes about five minutes on two cores, 3 GB of memory and, for a while, 2 GB of disk. Nothing is
downloaded. The weights say nothing, so the scores do not either; what is asked is whether the printed cells run.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

# As published: https://arxiv.org/abs/1512.03385 and https://arxiv.org/abs/1810.04805.
RESNET_50 = dict(
    stackwise_num_filters=[64, 128, 256, 512],
    stackwise_num_blocks=[3, 4, 6, 3],
    stackwise_num_strides=[1, 2, 2, 2],
    block_type="bottleneck_block",
)
BERT_BASE = dict(vocabulary_size=30_522, num_layers=12, num_heads=12, hidden_dim=768, intermediate_dim=3072)
NAMES = ("resnet_50_imagenet", "bert_base_en_uncased")


def shelve(name):
    """Put random weights where kagglehub would keep the public ones."""
    import keras_hub
    import lanes

    parts = [lanes.resnet(224, **RESNET_50)] if name == NAMES[0] else lanes.bert(**BERT_BASE)
    backbone = getattr(parts[0], "backbone", parts[0])
    published = keras_hub.models.Backbone.presets[name]["metadata"]["params"]
    assert backbone.count_params() == published, (name, backbone.count_params(), published)
    lanes.shelve(os.environ["KAGGLEHUB_CACHE"], name, *parts)
    print(f"{name}: {published:,} parameters, as published")


def lane(name):
    """Run the cell of the notebook, as it is printed."""
    import lanes

    import kpretrain as kp

    kp.setup()
    start = time.perf_counter()
    space = lanes.run(name)
    seconds, memory = time.perf_counter() - start, kp.session.run_facts()["peak_memory_gb"]
    assert space["preset"].startswith(os.environ["KAGGLEHUB_CACHE"])
    print(f"{name}: the cell took {seconds:.0f} s, peak memory {memory} GB")


def main(names):
    """Each step in a process of its own, so that its memory is its own."""
    for name in names or NAMES:
        with tempfile.TemporaryDirectory() as cache:
            environment = os.environ | {"KAGGLEHUB_CACHE": cache, "KPRETRAIN_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
            for step in ("shelve", "lane"):
                subprocess.run([sys.executable, __file__, step, name], env=environment, check=True)


if __name__ == "__main__":
    steps = {"shelve": shelve, "lane": lane}
    if sys.argv[1:2] and sys.argv[1] in steps:
        steps[sys.argv[1]](sys.argv[2])
    else:
        main(sys.argv[1:])
