"""What is saved of a generator."""

from typing import Any

import torch
from transformers import PreTrainedConfig

from ..groups import Images, Kind, Waveforms, get_group
from ..groups.kinds import describe_kind, kind_from


class GeneratorConfig(PreTrainedConfig):
    """Of an `InvariantGenerator`.

    Args:
        group: name of the group that leaves the distribution as it is.
        symmetry: "output", "features" or "none": where the group element acts.
        shape: of one sample: (channels, height, width) of images, (samples,) of waveforms, (frames, bins) of
            spectrograms.
        latent_size: numbers of noise.
        width: channels of the layer at full size.
        training: what a training knows of itself, for the card.
        kind: what the numbers of a sample mean, as `hf_canon.groups.kinds.describe_kind` has it; by default images
            from 0 for black to 1 for white, or waveforms of 16 kHz.

    Raises:
        ValueError: the group does not act on such samples.
    """

    model_type = "hf_canon_generator"

    def __init__(
        self,
        group: str = "c4",
        symmetry: str = "output",
        shape: list[int] | tuple[int, ...] = (1, 28, 28),
        latent_size: int = 64,
        width: int = 16,
        kind: dict[str, Any] | None = None,
        training: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        self.group = group
        self.symmetry = symmetry
        self.shape = list(shape)
        self.latent_size = latent_size
        self.width = width
        self.kind = describe_kind(usual_kind(self.shape)) if kind is None else kind
        self.training = training
        if min(self.latent_size, self.width) < 1:
            raise ValueError(f"A generator has noise and channels, and not {latent_size} and {width}. Give 64 and 16.")
        self._check_group()
        super().__init__(**kwargs)

    def _check_group(self) -> None:
        acting, kind = get_group(self.group).on(self.sample_kind), self.sample_kind
        acting.check_shape((1, *self.shape))
        if isinstance(kind, Images) and kind != usual_kind(self.shape):
            raise ValueError(f"Generated images are from 0 (black) to 1 (white), and not {kind}. Leave out kind.")
        transformed = acting.act(torch.zeros(1, *self.shape), acting.sample(1, torch.Generator().manual_seed(0)))
        if transformed.shape[1:] != torch.Size(self.shape):
            raise ValueError(
                f"{self.group} changes how long a clip is, and a generator's samples are all of one length. Take a "
                "group that does not, such as pitch12 or time_shift4."
            )

    @property
    def sample_kind(self) -> Kind:
        return kind_from(self.kind)


def usual_kind(shape: list[int]) -> Kind:
    """
    Raises:
        ValueError: nobody knows what such numbers mean.
    """
    if len(shape) == 3:
        return Images((1.0,) * shape[0], (0.0,) * shape[0])
    if len(shape) == 1:
        return Waveforms()
    raise ValueError(
        f"What the numbers of a sample of shape {tuple(shape)} mean is not known. Give "
        "kind=describe_kind(model.group.kind) for spectrograms, or the shape of an image, (channels, height, width)."
    )
