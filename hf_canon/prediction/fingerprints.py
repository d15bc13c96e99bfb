"""What answers belong to, in a few digests: another model or data set has others, wherever it lies."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from .rows import Row

VOLATILE = {
    "architectures",
    "base_name_or_path",
    "base_revision",
    "dtype",
    "includes_predictor",
    "transformers_version",
}
"""What a configuration says of where a model lies and of who saved it. Weights are compared as they are."""


def model_identity(model: CanonicalizedModel, processor: Any) -> dict[str, str]:
    """All that decides an answer: both networks, their configuration, and how images are prepared."""
    settings = json.loads(model.config.to_json_string(use_diff=False))
    preparation = processor.to_dict() if hasattr(processor, "to_dict") else {}
    return {
        "model_config": digest(json.dumps(lasting(settings), sort_keys=True)),
        "canonicalizer_weights": digest(*tensors(model.canonicalizer.state_dict())),
        "predictor_weights": digest(*tensors(model.predictor.state_dict())),
        "processor": digest(json.dumps(lasting(preparation), sort_keys=True, default=str)),
    }


def rows_identity(total: int | None, sample: Iterable[Row]) -> dict[str, Any]:
    """How many rows there are, if that is known, and some of them: an image by its bytes or else by its file's name.

    The fingerprint of `datasets` would not do: it changes when the same files are prepared anew.
    """
    return {
        "data_rows": total,
        "data_sample": digest(*(stored(value) for row in sample for _, value in sorted(row.items()))),
    }


def stored(value: Any) -> str | bytes:
    if isinstance(value, Image.Image):
        return value.tobytes()
    return value["bytes"] if isinstance(value, dict) and value.get("bytes") else str(value)


def lasting(settings: Any) -> Any:
    """Settings without those that change when the same model is saved, transformed or loaded."""
    if not isinstance(settings, dict):
        return settings
    return {k: lasting(v) for k, v in settings.items() if k not in VOLATILE and not k.startswith("_")}


def tensors(state: Mapping[str, Tensor]) -> Iterator[Any]:
    for name, tensor in sorted(state.items()):
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}"
        yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()


def digest(*contents: Any) -> str:
    sha = hashlib.sha256()
    for content in contents:
        sha.update(content.encode() if isinstance(content, str) else content)
    return sha.hexdigest()[:16]
