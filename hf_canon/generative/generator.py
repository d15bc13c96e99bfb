"""Generators of distributions that a group leaves as they are (arXiv 2305.13517; 2202.01129, section 3).

S^G[P] is the distribution of g X, with X drawn from P and g uniformly from the group. An invariant critic cannot see
poses, and beside it a plain generator collapses onto part of the orbit; a generator whose distribution is S^G of
something cannot."""

from typing import Any

import torch
from torch import Tensor, nn

from ..groups import FinitePlanar, Group
from .networks import Decoder, on_features, require_exact


class SymmetrizedGenerator(nn.Module):
    """A uniform group element on what any generator has made. The distribution is that of the generator's
    symmetrization.

    Args:
        network: maps noise `(batch, latent_size)` to samples.
        group: any; of a continuous one elements are drawn within its reach.
        latent_size: numbers of noise.

    Example:
        >>> from hf_canon import get_group
        >>> base = nn.Sequential(nn.Linear(4, 64), nn.Unflatten(1, (1, 8, 8)))
        >>> generator = SymmetrizedGenerator(base, get_group("d4"), latent_size=4)
        >>> generator(torch.randn(10, 4)).shape
        torch.Size([10, 1, 8, 8])
    """

    def __init__(self, network: nn.Module, group: Group, latent_size: int):
        super().__init__()
        self.network, self.group, self.latent_size = network, group, latent_size

    def forward(self, noise: Tensor, element: Tensor | None = None) -> Tensor:
        """Samples.

        Args:
            noise: `(batch, latent_size)`, standard normal.
            element: `(batch,)`, the poses; drawn uniformly by default.
        """
        return self.group.act(self.network(noise), drawn(self.group, noise, element))


class EquivariantGenerator(nn.Module):
    """A uniform group element on the first feature map, and group convolutions after it, which carry it to the sample:
    the equivariant form. All poses share the convolutions, and nothing is transformed at full size.

    Args:
        decoder: a network over the group.

    Raises:
        ValueError: the decoder's convolutions are not over a group.
    """

    def __init__(self, decoder: Decoder, latent_size: int):
        super().__init__()
        if decoder.group is None:
            raise ValueError("This decoder has plain convolutions, which nothing is carried through. Give it a group.")
        self.network, self.group, self.latent_size = decoder, decoder.group, latent_size

    def forward(self, noise: Tensor, element: Tensor | None = None) -> Tensor:
        """As `SymmetrizedGenerator.forward`."""
        group: FinitePlanar = self.group
        return self.network.grow(on_features(group, self.network.first(noise), drawn(group, noise, element)))


def drawn(group: Group, noise: Tensor, element: Tensor | None) -> Tensor:
    return group.sample(len(noise)).to(noise.device) if element is None else element


def generator_of(symmetry: str, group: Group, latent_size: int, shape: Any, width: int) -> nn.Module:
    """A convolutional generator.

    Args:
        symmetry: "output", "features" (both invariant), or "none".

    Raises:
        ValueError: there is no such symmetry, or the group or the shape does not fit it.
    """
    if symmetry not in ("output", "features", "none"):
        raise ValueError(f"A generator's symmetry is 'output', 'features' or 'none', and this is {symmetry!r}.")
    if symmetry == "features":
        exact = require_exact(group, "Take symmetry='output', which any group does for.")
        return EquivariantGenerator(Decoder(latent_size, shape, width, group.kind, exact), latent_size)
    decoder = Decoder(latent_size, shape, width, group.kind)
    if symmetry == "output":
        return SymmetrizedGenerator(decoder, group, latent_size)
    return PlainGenerator(decoder, latent_size)


class PlainGenerator(nn.Module):
    """A generator that poses mean nothing to, for distributions that are not invariant."""

    def __init__(self, network: nn.Module, latent_size: int):
        super().__init__()
        self.network, self.latent_size = network, latent_size

    def forward(self, noise: Tensor, element: Tensor | None = None) -> Tensor:
        return self.network(noise)


def noise_for(generator: Any, n: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard normal noise, `(n, latent_size)`."""
    return torch.randn(n, generator.latent_size, device=device)
