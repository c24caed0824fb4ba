"""The commands of `python -m kpretrain`, and what they alone need: a reader of a notebook never meets it."""
