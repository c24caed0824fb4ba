"""The files of the named datasets: where each is looked for, how it is downloaded, checked and opened."""

import gzip
import hashlib
import os
import re
import tarfile
import time
import zipfile
from collections import namedtuple
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path

import requests

from ..files import cache_folder, offline, replacing
from ..paths import ROOT
from .dataset import DataError

_REPOSITORY_DATA = ROOT / "data"
_CONNECT, _SILENCE = 5, 20  # seconds until a server that does not answer, or stops sending, is given up
_SLOWEST = 10_000  # bytes a second
_MOST_BYTES, _MOST_MEMBERS = 400 * 2**20, 100_000  # of an archive, and of what it holds


class MissingDataError(DataError):
    """A dataset that is not on this machine, and cannot be downloaded."""


# Archives are packed anew by those who serve them, so it is their members that are verified: `sha256` is their `digest`
# (or that of the file itself). `files` are the names that a file or folder may have; a download takes the first.
# `members` is a pattern of the names wanted, without the folders above them; `same` is what two right copies share.
_Source = namedtuple("_Source", "url sha256 files members same", defaults=["", bytes])


def _sentences(content):
    """A file of sentences in UTF-8; at its source it is in Windows-1252, whose dashes Latin-1 takes for line ends."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return "\n".join(line.strip() for line in text.strip().split("\n")).encode()


SOURCES = {
    "mnist": _Source(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        ("mnist.npz",),
    ),
    "cifar10": _Source(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ("cifar-10-binary.tar.gz", "cifar10_images.zip"),
        r"(?:data_batch_[1-5]|test_batch)\.bin|batches\.meta\.txt|(?:train|test)/\w+/\d+\.jpg",
    ),
    "hymenoptera": _Source(
        "https://download.pytorch.org/tutorial/hymenoptera_data.zip",
        "d808f85ab3e88a81abab7992b92b673b1a9cb83790627f856c2dcf9dc605439e",
        ("hymenoptera_data.zip",),
        r"(?:train|val)/\w+/[^/\\:.][^/\\:]*\.(?:jpe?g|gif)",
    ),
    "rt-polarity": _Source(
        "https://www.cs.cornell.edu/people/pabo/movie-review-data/rt-polaritydata.tar.gz",
        "a4daa3b61450a903d7c2df839c73ca726e886d0385479b6986a021bab204f483",
        ("rt-polaritydata.tar.gz", "rt-polaritydata"),
        r"rt-polarity\.(?:neg|pos)",
        _sentences,
    ),
    "spoken_digits": _Source(
        "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip",
        "710951a2589b3ada7d439d4478090cd83b6eed3c738ae7ae04a030fa0f61ed88",
        ("free_spoken_digits.zip",),
        r"\d_[a-z]+_\d+\.wav",
    ),
}


def take(name):
    """Find or download a dataset, and open it.

    Returns
    -------
    content : dict
        Name of a member -> its bytes. Links, and members of other names, are passed over.
    source : str
        In words: where it was found, the `digest` of what it holds, and whether that is as published.

    Raises
    ------
    DataError
        As `find`, and if the file that was found is damaged or too large.

    Examples
    --------
    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", KPRETRAIN_DATA=folder):
    ...     Path(folder, "rt-polaritydata").mkdir()
    ...     _ = Path(folder, "rt-polaritydata", "rt-polarity.pos").write_bytes(b"a caf\\xe9 \\x96 and a film . \\n")
    ...     content, source = take("rt-polarity")
    >>> content["rt-polarity.pos"].decode()
    'a café – and a film .'
    >>> source
    '$KPRETRAIN_DATA/rt-polaritydata (sha256 ...), not as published'
    """
    source, (path, place) = SOURCES[name], find(name)
    try:
        content = _members(source, path)
    except Exception as error:  # gzip, tarfile, zipfile and zlib raise many kinds
        raise DataError(f"{path}: cannot be used ({error}). Put a whole copy there: {source.url}") from error
    hashes = _hashes(path, content)
    other = "" if source.sha256 in hashes else ", not as published"
    return content, f"{place}/{path.name} (sha256 {hashes[0][:12]}){other}"


def find(name):
    """Find the file or folder of a dataset on this machine, or download it.

    A download is whole and holds what was published, or leaves nothing behind.

    Returns
    -------
    path : pathlib.Path
    place : str
        The folder that it lies in, in words.

    Raises
    ------
    DataError
        If `$KPRETRAIN_DATA` is not a folder.
    MissingDataError
        If it is nowhere, and the network is forbidden or fails.

    Examples
    --------
    >>> import tempfile
    >>> from unittest.mock import patch
    >>> with tempfile.TemporaryDirectory() as folder, patch.dict("os.environ", KPRETRAIN_DATA=folder):
    ...     Path(folder, "mnist.npz").touch()
    ...     find("mnist")[1]
    '$KPRETRAIN_DATA'
    """
    source, own = SOURCES[name], os.environ.get("KPRETRAIN_DATA")
    if own and not Path(own).expanduser().is_dir():
        raise DataError(f"KPRETRAIN_DATA is {own!r}, which is not a folder. Correct it, or unset it.")
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    places = {"$KPRETRAIN_DATA": own, "the repository's data": _REPOSITORY_DATA, "Keras's cache": keras}
    for words, folder in (places | {"the cache": cache_folder()}).items():
        for file in source.files:
            if folder and (path := Path(folder).expanduser() / file).exists():
                return path, words
    why = "KPRETRAIN_OFFLINE=1 forbids the network"
    if not offline():
        try:
            return _download(name, source, cache_folder() / source.files[0]), "the cache"
        except Exception as error:  # no network, time-out, a folder that can't be written, a damaged archive
            why = f"the download failed: {error if isinstance(error, DataError) else type(error).__name__}"
    mend = f"Put {source.files[0]} into $KPRETRAIN_DATA or the repository's data/: {source.url}"
    raise MissingDataError(f"{name}: not on this machine, and {why}. {mend}")


def digest(content):
    """Return one sha256 for all members: that of the lines which `sha256sum` would print for them, sorted.

    Examples
    --------
    >>> digest({"a.txt": b"one", "b.txt": b"two"}) == digest({"b.txt": b"two", "a.txt": b"one"})
    True
    """
    lines = sorted(f"{hashlib.sha256(member).hexdigest()}  {name}\n" for name, member in content.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _hashes(path, content):
    return digest(content), path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest()


def _download(name, source, path):
    from tqdm import tqdm

    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"stream": True, "timeout": (_CONNECT, _SILENCE), "headers": {"Accept-Encoding": "identity"}}
    with replacing(path) as part:
        with requests.get(source.url, **options) as answer, open(part, "wb") as file:
            answer.raise_for_status()
            if answer.headers.get("Content-Type", "").startswith("text/html"):
                raise DataError("a web page came instead, perhaps a login")
            size, start = int(answer.headers.get("Content-Length", 0)), time.monotonic()
            with tqdm(total=size or None, desc=name, unit="B", unit_scale=True) as bar:
                for piece in iter(partial(answer.raw.read1, 2**16), b""):
                    bar.update(file.write(piece))
                    if bar.n > _MOST_BYTES:
                        raise DataError("it has no end")
                    if bar.n < _SLOWEST * (time.monotonic() - start - _SILENCE):
                        raise DataError("the network is too slow")
        if source.sha256 not in _hashes(part, _members(source, part) if source.members else {}):
            raise DataError("what came is not what was published")
    print(f"{name}: {path.stat().st_size / 1e6:,.1f} MB downloaded from {source.url}, kept as {path}")
    return path


def _members(source, path):
    """{name: bytes} of the members that a dataset has; the limits come before any of them is unpacked."""
    entries = list(islice(_entries(path), _MOST_MEMBERS + 1))
    if len(entries) > _MOST_MEMBERS or sum(size for _, size, _ in entries) > _MOST_BYTES:
        raise DataError(f"it holds more than {_MOST_MEMBERS:,} files or {_MOST_BYTES >> 20} MiB")
    wanted = re.compile(f"(?:^|/)({source.members})$")
    if not (members := {name[1]: source.same(read()) for entry, _, read in entries if (name := wanted.search(entry))}):
        raise DataError("it holds no file of this dataset")
    return members


def _entries(path):
    """Yield (name, size, how to read it) for each file in a folder, a zip or a tar.gz, but for links."""
    if path.is_dir():
        for file in filter(Path.is_file, path.rglob("*")):
            yield file.as_posix(), file.stat().st_size, file.read_bytes
    elif zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(BytesIO(path.read_bytes()))
        for entry in archive.infolist():
            yield entry.filename, entry.file_size, partial(archive.read, entry)
    else:
        with gzip.open(path) as file:
            archive = tarfile.open(fileobj=BytesIO(file.read(_MOST_BYTES + 1)))
        for entry in filter(tarfile.TarInfo.isfile, archive):
            yield entry.name, entry.size, archive.extractfile(entry).read
