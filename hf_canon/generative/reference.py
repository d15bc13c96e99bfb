"""A generator of upright samples beside an adapter, for those who do not have the data."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from ..configuration_canonicalized import CanonicalizedConfig
from ..data.images import MODES
from ..groups import Images, Kind, Waveforms
from ..hub.folder import CARD_FILE, SAMPLER, may_renew, require_reference, staged_folder, write_card
from ..hub.push import read_config
from ..predictors.hub_files import PROCESSOR_FILES, UNREADABLE, because, processor_files, where_of
from .grids import draw_samples
from .modeling_generator import InvariantGenerator
from .sharing import SAMPLES_FILE


def add_reference_sampler(adapter: str | os.PathLike[str], generator: InvariantGenerator) -> None:
    """Save a generator beside an adapter, as `reference_sampler` in its folder, with a grid of its samples; the card
    names it, and `push_folder` takes it along. Saving the adapter there again leaves it while it fits.

    A generator may repeat what it has learned from: look at its samples before they are given away.

    Args:
        adapter: the folder of an adapter.
        generator: of upright samples, so `symmetry="none"`.

    Raises:
        ValueError: there is no adapter, or the generator cannot draw what it reads, upright.
        OSError: the folder cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> from hf_canon.generative import GeneratorConfig
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=16, patch_size=8))
        >>> generator = InvariantGenerator(GeneratorConfig(symmetry="none", shape=(3, 16, 16), width=4))
        >>> with TemporaryDirectory() as folder:
        ...     CanonicalizedModel.wrap(vit).save_pretrained(folder, full=True)
        ...     add_reference_sampler(folder, generator)
        ...     reference_samples(folder, 2)[0]["image"].size
        (16, 16)
    """
    folder = Path(adapter)
    config = read_config(folder)
    require_reference(generator.config.to_dict(), config)
    require_size(generator.config.shape, config, processor_files(str(folder), {}))
    with staged_folder(folder / SAMPLER) as staging:
        # Not its own save_pretrained, whose card says how a repository of its own is loaded.
        PreTrainedModel.save_pretrained(generator, staging)
        draw_samples(generator, Path(staging) / SAMPLES_FILE)
    if may_renew(folder / CARD_FILE):
        write_card(folder, folder.resolve().name)


def require_size(shape: list[int], config: CanonicalizedConfig, processor: dict[str, bytes]) -> None:
    """Raise ValueError if an adapter's processor leaves images at their size, and its checkpoint reads another.

    Args:
        shape: of a sample.
        config: of the adapter.
        processor: the files, by name, that describe its processor.
    """
    settings: dict[str, Any] = json.loads(processor.get(PROCESSOR_FILES[0], b"{}"))
    side = getattr(config.base_config, "image_size", None)
    if len(shape) == 3 and settings.get("do_resize") is False and side is not None and shape[1:] != [side, side]:
        raise ValueError(
            f"This generator draws images of {shape[1]} x {shape[2]} pixels, the checkpoint reads {side} x {side}, "
            f"and its processor does not resize. Train one with shape=({shape[0]}, {side}, {side})."
        )


def reference_samples(
    adapter: str | os.PathLike[str], n: int, seed: int = 0, **hub_kwargs: Any
) -> list[dict[str, Any]]:
    """Draw examples from the reference sampler of an adapter, as its processor reads them: the `reference` of
    `distribution_shift`, the `reference_dataset` of a `CanonicalizationTrainer`, or upright data to train with.

    They are near the data that the sampler has learned from, and not those data. A part of every distance to them is
    the sampler's own error, which can be most of it, as it is for digits (`scripts/figure_adversarial_prior.py`).
    Measure first how far data are that are known to be as they should be.

    Args:
        adapter: Hub id or folder.
        n: how many.
        seed: of the draw.
        hub_kwargs: passed to `from_pretrained` (`revision`, `token`, ...).

    Returns:
        Dicts with an `image` (PIL), an `audio` of array and sampling rate, or `input_features`.

    Raises:
        OSError: there is no such adapter, or no sampler beside it.
    """
    where = where_of(adapter)
    try:
        generator = InvariantGenerator.from_pretrained(where, subfolder=SAMPLER, **hub_kwargs).eval()
    except UNREADABLE as error:
        raise OSError(
            f"No reference sampler could be read from {where!r}: {because(error, where)} Name an adapter whose card "
            "shows one, or add it with add_reference_sampler."
        ) from error
    kind = generator.group.kind
    return [as_example(one, kind) for one in generator.sample(n, torch.Generator().manual_seed(seed))]


def as_example(sample: Tensor, kind: Kind) -> dict[str, Any]:
    """A sample as data sets hold it.

    Args:
        sample: `(*shape,)`.
        kind: what its numbers mean.
    """
    sample = sample.float().cpu()
    if isinstance(kind, Waveforms):
        return {"audio": {"array": sample.numpy(), "sampling_rate": kind.sampling_rate}}
    if not isinstance(kind, Images):
        return {"input_features": sample}
    values = (255 * sample.clamp(0, 1)).round().byte().movedim(0, -1).squeeze(-1).numpy()
    return {"image": Image.fromarray(values, MODES[len(sample)])}
