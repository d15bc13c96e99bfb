"""Any network scores the members of a low-resolution orbit, in one batch (Panigrahi & Mondal, arXiv 2405.14089).

With an embedding z of a plain network and a reference vector r, the energy of an input is -cos(z(x), r), and
h(x) = argmin over g of the energy of g^-1 x is equivariant for any network, as long as the orbit is exact on the grid.

Elements that are not exact (45 degrees) would have to be resampled to be scored, and a network soon learns to
recognise resampled pixels. So the network looks at the exact members only, and every look votes for all elements:
there is one reference for each element, and

    logits[g] = mean over exact s of cos(z(s^-1 x), r[s^-1 g]) / temperature

which is exactly equivariant under every exact s. With the reference of the identity alone, it is the energy above.

In place of the cosines, a layer of quadratic neurons may give the energies (2303.06316): the log-density of features
that are distributed like a Gaussian is quadratic in them. One neuron for each element votes in the same way.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..groups import Group, Images, Planar
from ..groups.constants import constant
from ..quadratic import QuadraticLinear, linear_of
from .base import Canonicalizer, channels_of, fitting, neuron_of
from .thumbnails import audio_looks, image_looks, inscribed_disc, thumbnail_channels


class OrbitCanonicalizer(Canonicalizer):
    """Lets a plain network look at the input in every exact pose, and vote.

    Prefer it whenever a pretrained backbone knows more about upright images than a small network can learn, for
    mirror images, for orders of channels, negatives and clips played backwards, and for products such as
    `d4*channels`. Prefer `shift` for rotations by many angles and for hues: this one looks at quarter turns and thirds
    of the hue circle only, and has to learn what lies between them.

    Args:
        group: any finite group.
        channels: channels of the input, where it is an image.
        resolution: side in pixels at which the pose is decided; a multiple of 16 for the built-in network. An audio
            clip is looked at as a small image too.
        width: channels of the first layer of the built-in network.
        neuron: "linear", "quadratic" or "compact", of all layers of the built-in network (see `hf_canon.quadratic`).
        head: "cosine", or "quadratic" for energies that a layer of quadratic neurons gives; with any network.
        backbone: Hub id or folder of a pretrained vision model to use in place of the built-in network. Its
            weights are saved with the adapter.
        backbone_config: its configuration, which a saved adapter records, so that a reload needs no backbone.
        pooled: whether the backbone's own pooler is used; by default, if it was pretrained too. Recorded likewise.
        freeze: keep the backbone's features as they are, and train the references alone.
        network: any module from `(batch, channels, height, width)` to `(batch, features)`. A saved adapter can not
            make it again: give it once more when loading.

    Raises:
        ValueError: the group is continuous, both a network and a backbone are given, or there is no such neuron or
            head.
        OSError: the backbone cannot be found.

    Example:
        >>> from hf_canon import get_group
        >>> canonicalizer = OrbitCanonicalizer(get_group("d4"))
        >>> canonicalizer(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 8])
    """

    name = "orbit"

    def __init__(
        self,
        group: Group,
        channels: int = 3,
        resolution: int = 32,
        width: int = 32,
        backbone: str | None = None,
        backbone_config: dict[str, Any] | None = None,
        pooled: bool | None = None,
        freeze: bool = False,
        network: nn.Module | None = None,
        neuron: str = "linear",
        head: str = "cosine",
    ):
        super().__init__()
        self.group = group
        if not group.finite:
            raise ValueError(
                f"The 'orbit' canonicalizer needs a finite group; for {group.name} use "
                f"canonicalizer={fitting(group)!r}."
            )
        if network is not None and backbone is not None:
            raise ValueError("Give the 'orbit' canonicalizer a network or a backbone, not both.")
        if neuron != "linear" and (network is not None or backbone is not None):
            raise ValueError(
                f"neuron={neuron!r} is that of the built-in network, and another one is given. Leave it out, or give "
                "head='quadratic' for energies from the features of that one."
            )
        self.resolution = resolution
        self.network: nn.Module
        if backbone is not None:
            self.network = Backbone(backbone, backbone_config, pooled, freeze)
            backbone_config, pooled = self.network.model.config.to_dict(), self.network.pooled
        else:
            seen = thumbnail_channels(group.kind, channels)
            self.network = PatchNetwork(seen, resolution, width, linear_of(neuron)) if network is None else network
        self.settings = {**channels_of(group, channels), "resolution": resolution, "width": width, **neuron_of(neuron)}
        if backbone is not None:
            self.settings |= {"backbone": backbone, "backbone_config": backbone_config}
            self.settings |= {"pooled": pooled, "freeze": freeze}
        with torch.no_grad():
            seen = thumbnail_channels(group.kind, channels)
            features = self.network(torch.zeros(1, seen, resolution, resolution)).shape[-1]
        elements = group.elements.numel()
        self.head: nn.Module | None = None
        if head == "cosine":
            self.references = nn.Parameter(torch.randn(elements, features) / math.sqrt(features))
            self.log_temperature = nn.Parameter(torch.tensor(math.log(0.1)))
        elif head == "quadratic":
            self.head = QuadraticLinear(features, elements)
            self.settings["head"] = head
        else:
            raise ValueError(f"The 'orbit' canonicalizer has the head 'cosine' or 'quadratic', and not {head!r}.")

    def embed(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Unit embeddings of every exact member of the orbit, `(batch, looks, features)`; the input's own first."""
        return F.normalize(self.features(x, lengths), dim=-1)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """What the network says of every exact member of the orbit, `(batch, looks, features)`."""
        return self.network(self.looks(x, lengths)).unflatten(0, (len(x), -1))

    def looks(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Thumbnails of every exact member of the orbit, `(batch * looks, channels, resolution, resolution)`."""
        if not isinstance(self.group.kind, Images):
            return self.as_learned(audio_looks(x, self.group, lengths, self.resolution).flatten(0, 1))
        if isinstance(self.group, Planar):  # one table of pixels does it
            image = self.thumbnail(x)
            pixels = look_pixels(self.group, *image.shape[1:3], x.device)
            return image.flatten(1).index_select(1, pixels).view(-1, *image.shape[1:])
        looks = self.as_learned(image_looks(x, self.group, self.resolution).flatten(0, 1))
        if self.group.planar is None:
            return looks
        return looks * inscribed_disc(self.resolution, x.device).to(looks.dtype)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.vote(self.features(x, lengths))

    def vote(self, features: Tensor) -> Tensor:
        """From the features of the orbit to logits over the group, `(batch, |G|)`."""
        if self.head is None:
            scores = F.normalize(features, dim=-1) @ F.normalize(self.references, dim=-1).T  # (batch, looks, |G|)
        else:
            scores = self.head(features)
        votes = scores.gather(2, relative_elements(self.group, scores.device).expand_as(scores)).mean(1)
        return votes / self.log_temperature.exp() if self.head is None else votes


@constant
def look_pixels(group: Group, channels: int, side: int, device: torch.device) -> Tensor:
    """Where each pixel of each exact member of the orbit is in the image; `(looks * channels * side * side,)`."""
    pixels = torch.arange(channels * side * side).view(1, channels, side, side)
    return group.orbit(pixels, group.inverse(group.exact_elements)).flatten().to(device)


@constant
def relative_elements(group: Group, device: torch.device) -> Tensor:
    """Row s, column g: the element s^-1 g, for every exact s; `(looks, |G|)`."""
    looks = group.exact_elements[:, None]
    return group.compose(group.inverse(looks), group.elements[None]).to(device)


class PatchNetwork(nn.Module):
    """A small network without any symmetry: linear layers over patches, each merging those of the layer before.

    Matrix products are what a CPU does fastest; a convolution of this size spends its time on preparing itself.
    """

    def __init__(self, channels: int, resolution: int, width: int, linear: Callable[[int, int], nn.Linear]):
        super().__init__()
        if resolution % 16:
            raise ValueError(
                f"The built-in network merges patches of 4, 8 and 16 pixels: {resolution} is no multiple of 16."
            )
        self.sides = (4, 2, 2)
        widths = (width, 2 * width, 4 * width)
        self.sizes = [side * side * before for side, before in zip(self.sides, (channels, *widths), strict=False)]
        self.merge = nn.ModuleList(linear(size, after) for size, after in zip(self.sizes, widths, strict=True))
        self.norms = nn.ModuleList(nn.LayerNorm(after) for after in widths)
        self.embed = linear((resolution // 16) ** 2 * widths[-1], 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, height, width)` to `(batch, features)`."""
        values = x.flatten(1).index_select(1, patch_order(*x.shape[1:3], self.sides, x.device))
        for size, merge, norm in zip(self.sizes, self.merge, self.norms, strict=True):
            values = F.gelu(norm(merge(values.view(len(x), -1, size))))
        return self.embed(values.flatten(1))


@constant
def patch_order(channels: int, side: int, merges: tuple[int, ...], device: torch.device) -> Tensor:
    """The order of an image's values in which every patch, and every patch of patches, is one stretch."""
    values = torch.arange(channels * side * side, device=device).view(channels, side, side).permute(1, 2, 0)
    for merge in merges:
        values = values.unflatten(1, (-1, merge)).unflatten(0, (-1, merge)).transpose(1, 2).flatten(2)
    return values.flatten()


class Backbone(nn.Module):
    """The pooled features of a pretrained vision model, always in evaluation mode: the images of one orbit share a
    batch, and statistics over a batch would tie them together."""

    def __init__(self, name: str, config: dict[str, Any] | None, pooled: bool | None, freeze: bool):
        super().__init__()
        from transformers import CONFIG_MAPPING, AutoModel  # only a pretrained backbone needs transformers

        missing: list[str] = []
        if config is None:
            self.model, loading = AutoModel.from_pretrained(name, output_loading_info=True)
            missing = [str(key) for key in loading["missing_keys"]]
        else:
            self.model = AutoModel.from_config(CONFIG_MAPPING[config["model_type"]].from_dict(config))
        # A classifier may come without the pooler that its backbone has: what is there then was never trained.
        self.pooled = not any("pooler" in key for key in missing) if pooled is None else pooled
        self.freeze = freeze
        self.model.requires_grad_(not freeze).eval()

    def train(self, mode: bool = True) -> "Backbone":
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        output = self.model(pixel_values=x)
        pooled = output.get("pooler_output") if self.pooled else None
        if pooled is not None:
            return pooled.flatten(1)
        last = output.last_hidden_state
        return last.mean(1) if last.ndim == 3 else last.mean((2, 3))
