"""An atlas in a file: a header of JSON and plain arrays, in one `.npz`; read back without the model, and
without unpickling anything."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import cattrs
import numpy as np

from netwright.values import Atlas, Floats, Thumbnails, UserError

SUFFIX = ".atlas"
_VERSION = 1
_LARGEST = 1 << 31  # bytes of an array that is read


def save(atlas: Atlas, path: Path, about: dict[str, Any]) -> None:
    """Write the atlas and what it is `about` (JSON). Raises `UserError` where that is not possible."""
    arrays: dict[str, np.ndarray] = {}

    def put(values: Floats) -> dict[str, Any]:
        name = f"a{len(arrays)}"
        arrays[name] = np.frombuffer(values.data, "<f4").reshape(values.shape)
        return {"array": name}

    def pictures(values: Thumbnails) -> dict[str, Any]:
        name = f"a{len(arrays)}"
        shape = (-1, values.height, values.width, values.channels)
        arrays[name] = np.frombuffer(values.data, np.uint8).reshape(shape)
        return {"array": name}

    converter = cattrs.Converter()
    converter.register_unstructure_hook(Floats, put)
    converter.register_unstructure_hook(Thumbnails, pictures)
    header = {"netwright-atlas": _VERSION, "about": about, "atlas": converter.unstructure(atlas)}
    text = json.dumps(header, allow_nan=True).encode()
    try:
        with path.open("wb") as file:
            np.savez_compressed(file, header=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
    except OSError as failed:
        raise UserError(f"{path}: cannot be written ({failed.strerror}); name another file") from failed


def reopen(path: Path) -> tuple[Atlas, dict[str, Any]]:
    """The atlas and what it is about. Raises `UserError` for a file that is no atlas."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            sizes = [info.file_size for info in file.zip.infolist()]  # type: ignore[union-attr]
            if max(sizes, default=0) > _LARGEST:
                raise UserError(f"{path}: an array in it would take {max(sizes):,} bytes; it is not opened")
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop("header").tobytes())
        if header["netwright-atlas"] != _VERSION:
            raise UserError(f"{path}: an atlas of another version; make it again with look --save")
        return _converter(arrays).structure(header["atlas"], Atlas), header["about"]
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, ExceptionGroup) as wrong:
        raise UserError(f"{path}: is no atlas; netwright look --inputs --save FILE makes one") from wrong


def _converter(arrays: dict[str, np.ndarray]) -> cattrs.Converter:
    converter = cattrs.Converter()

    def take(document: Any, _: Any) -> Floats:
        array = np.ascontiguousarray(arrays[document["array"]], dtype="<f4")
        return Floats(tuple(array.shape), array.tobytes())

    def pictures(document: Any, _: Any) -> Thumbnails:
        array = np.ascontiguousarray(arrays[document["array"]], dtype=np.uint8)
        _, high, wide, channels = array.shape
        return Thumbnails(high, wide, channels, array.tobytes())

    converter.register_structure_hook(Floats, take)
    converter.register_structure_hook(Thumbnails, pictures)
    return converter
