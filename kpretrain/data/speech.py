"""Voices that are computed: what stands in for the spoken digits where these cannot be had."""

import numpy as np
import pandas as pd

# Formants, the resonances of a throat that make a vowel, in Hz (G. Peterson, H. Barney, 1952), and a word a digit.
_VOWELS = {
    "a": (730, 1090, 2440),
    "e": (530, 1840, 2480),
    "i": (270, 2290, 3010),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
}
_WORDS = "io", "ua", "u", "i", "o", "ai", "ei", "ea", "e", "aei"
_VOICES = {  # pitch in Hz, length of the throat, and tempo, each against an average one
    "ada": (210, 1.16, 1.0),
    "bo": (95, 0.9, 0.85),
    "cy": (120, 1.0, 1.2),
    "dot": (235, 1.1, 1.15),
    "eli": (140, 0.95, 0.9),
    "flo": (180, 1.05, 1.05),
}


def synthesised_digits(takes=20):
    """Compute "spoken" digits: six voices glide through the vowels of ten invented words, with noise.

    Only vowels are there, and a voice repeats itself with small changes of pitch, throat, tempo and loudness. So they
    are easier than speech, and no score on them says anything about speech.

    Parameters
    ----------
    takes : int
        Of each word by each voice.

    Returns
    -------
    waves : numpy.ndarray
        int16 `(60 * takes, 8000)`, a second at 8 kHz, the same on each call.
    table : pandas.DataFrame
        A row for each: `digit` and `take` (int), `speaker` (str).

    Examples
    --------
    >>> waves, table = synthesised_digits(takes=1)
    >>> waves.shape, table["speaker"].tolist()[:3]
    ((60, 8000), ['ada', 'bo', 'cy'])
    """
    rows = [(digit, voice, take) for digit in range(10) for voice in _VOICES for take in range(takes)]
    waves, random = np.zeros((len(rows), 8000), "int16"), np.random.default_rng(0)
    for wave, (digit, voice, _) in zip(waves, rows, strict=True):
        pitch, throat, tempo = np.array(_VOICES[voice]) * random.normal(1, [0.05, 0.04, 0.08])
        frames = int(np.clip(24 + 8 * len(_WORDS[digit]), 0, 75) / tempo)  # of 10 ms
        glide = np.linspace(0, len(_WORDS[digit]) - 1, frames)
        vowels = np.array([_VOWELS[vowel] for vowel in _WORDS[digit]]).T
        formants = throat * np.array([np.interp(glide, range(len(places)), places) for places in vowels])
        hertz = pitch * np.linspace(1.1, 0.85, frames) * np.arange(1, 40)[:, None]  # harmonics (39, frames)
        near = np.exp(-(((hertz[None] - formants[:, None]) / 130) ** 2)) * np.array([1, 0.5, 0.25])[:, None, None]
        swell = np.sin(np.linspace(0, np.pi, frames)) ** 0.5
        loudness = np.repeat((near.sum(axis=0) + 0.01) * (hertz < 3800) * swell, 80, axis=1)
        sound = (loudness * np.sin(2 * np.pi * np.cumsum(np.repeat(hertz, 80, axis=1), axis=1) / 8000)).sum(axis=0)
        sound = sound / np.abs(sound).max() + random.normal(0, 0.01, len(sound))
        wave[: len(sound)] = (sound * random.uniform(3000, 15000))[:8000]
    return waves, pd.DataFrame(rows, columns=["digit", "speaker", "take"])
