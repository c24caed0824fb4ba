"""Clean tables and pictures: normalise, take out noise and duplicates, and split without a leak.

Nothing here changes its input, and every step keeps the rows that it takes out, with the reason.
"""

from .duplicates import drop_duplicates, duplicates
from .noise import normalise_text, remove_noise
from .pictures import image_print, near_duplicate_images
from .splits import split
