"""Small sets in the form of the named ones, and archives of them."""

import io
import tarfile
import wave
import zipfile

import numpy as np
from PIL import Image


def mnist_arrays(n=400, seed=0):
    """A small set in MNIST's form: no two images alike."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, rows in (("train", n), ("test", n // 2)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (rows, 28, 28), dtype="uint8")
        arrays[f"y_{part}"] = (np.arange(rows) % 10).astype("uint8")
    return arrays


def write_mnist(folder, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "mnist.npz", **(arrays or mnist_arrays()))
    return folder / "mnist.npz"


def jpeg(colour):
    stream = io.BytesIO()
    Image.fromarray(np.full((32, 32, 3), colour, "uint8")).save(stream, "JPEG")
    return stream.getvalue()


def photographs(parts, per_class=20):
    return {
        f"{part}/{name}/{image:04d}.jpg": jpeg((120 * number + image, 200 * (part == parts[0]), image))
        for part in parts
        for number, name in enumerate(("ant", "bee"))
        for image in range(per_class)
    }


def cifar_binary(rows=20):
    """Six batches: the label k, and a picture whose red is k, green 100 + k, blue 200 + k, a corner apart."""
    pictures = b""
    for k in range(rows):
        channels = np.repeat(np.array([k, 100 + k, 200 + k], "uint8")[:, None], 1024, axis=1)
        channels[:, 1] = 7  # row 0, column 1
        pictures += bytes([k % 10]) + channels.tobytes()
    names = [*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"]
    labels = "airplane automobile bird cat deer dog frog horse ship truck".split()
    return dict.fromkeys(names, pictures) | {"batches.meta.txt": ("\n".join(labels) + "\n\n").encode()}


def sentences(encoding="utf8", n=100):
    """Two files, with the dashes and dots of Windows-1252; each ends in a near duplicate of its first line."""
    rng, content = np.random.default_rng(0), {}
    for ending, word in (("pos", "finé – and …"), ("neg", "dull — or ‘")):
        lines = [f"{word} " + " ".join(f"w{rng.integers(5000)}" for _ in range(12)) for _ in range(n)]
        content[f"rt-polarity.{ending}"] = "".join(f"{line} \n" for line in [*lines, lines[0] + " ."]).encode(encoding)
    return content


def recording(samples, channels=1, rate=8000):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.asarray(samples, "<i2").tobytes())
    return stream.getvalue()


def takes(speakers=("ann", "bob", "cleo", "dan", "eve", "fay"), n=2):
    return {
        f"{digit}_{speaker}_{take}.wav": recording([digit, take, ord(speaker[0])] * 1000)
        for digit in range(10)
        for speaker in speakers
        for take in range(n)
    }


def zipped(content, top="", compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, member in content.items():
            file.writestr(top + name, member)
    return stream.getvalue()


def tarred(content, top="", links=()):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as file:
        for name, member in content.items():
            entry = tarfile.TarInfo(top + name)
            entry.size = len(member)
            file.addfile(entry, io.BytesIO(member))
        for name, target in links:
            entry = tarfile.TarInfo(top + name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            file.addfile(entry)
    return stream.getvalue()
