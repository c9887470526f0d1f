"""The large parts of finished trainings as files: arrays as npz without objects, weights as safetensors.

A file is written whole under a temporary name, flushed to the disk, and only then renamed, so that a reader
meets all of it or nothing. Its digest is kept in the journal: a file that no longer matches counts as gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from fsspec.implementations.local import LocalFileSystem

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]{0,119}")
_TEMPORARY = ".part"


class Artifacts:
    """The folder `runs/` of a journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: Any = LocalFileSystem(skip_instance_cache=True)

    def arrays_path(self, key: str) -> Path:
        return self.folder / f"{_name(key)}.npz"

    def weights_path(self, key: str) -> Path:
        return self.folder / f"{_name(key)}.safetensors"

    def put_down(self, path: Path, content: bytes) -> Path:
        """Write `content` beside `path` under a temporary name and return that; an error leaves nothing."""
        self._files.makedirs(str(self.folder), exist_ok=True)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_TEMPORARY}")
        try:
            with self._files.open(str(temporary), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            self.discard(temporary)
            raise
        return temporary

    def rename(self, temporary: Path, path: Path) -> None:
        """Make a file that was put down the one at `path`, in one step; what a killed writer left goes."""
        os.replace(temporary, path)
        _flush_folder(self.folder)
        for leftover in self.folder.glob(f"{path.name}.*{_TEMPORARY}"):
            self.discard(leftover)

    def discard(self, temporary: Path) -> None:
        with contextlib.suppress(OSError):
            self._files.rm_file(str(temporary))

    def read(self, path: Path, digest: str) -> bytes | None:
        """The file's content where it is there and is what was written; else `None`."""
        try:
            content: bytes = self._files.cat_file(str(path))
        except OSError:
            return None
        return content if digest_of(content) == digest else None


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz that `numpy.load` reads; unlike `numpy.savez` it takes every name, 'file' included."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def unpack_arrays(content: bytes) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
    return arrays


def pack_weights(weights: Mapping[str, np.ndarray]) -> bytes:
    return safetensors.numpy.save({name: np.asarray(array, order="C") for name, array in weights.items()})


def _name(key: str) -> str:
    """The key where it can be a file name everywhere, else its digest: a key never leaves the folder."""
    return key if _PLAIN.fullmatch(key) else digest_of(key.encode("utf-8", "backslashreplace"))[:40]


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut; where folders cannot be opened (Windows) this is not needed."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
