"""Critics that cannot tell the members of an orbit apart: three ways to the same class of functions.

By E_{S^G P}[f] = E_P[S_G f] (arXiv 2305.13517, Lemma 1), an invariant critic between two distributions is a plain one
between their symmetrizations. It learns from |G| times fewer samples, and is blind to poses: the generator has to be
symmetrized as well."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..canonicalizers import Canonicalizer
from ..groups import Group
from .networks import Encoder, require_exact


class OrbitCritic(nn.Module):
    """S_G[D](x): the mean of a critic over the orbit. Exact for whatever critic, at |G| evaluations.

    Args:
        critic: maps samples to scores `(batch,)`.
        group: a finite group.

    Raises:
        ValueError: the group is continuous.

    Example:
        >>> import torch
        >>> from hf_canon import get_group
        >>> c4 = get_group("c4")
        >>> critic = OrbitCritic(nn.Sequential(nn.Flatten(), nn.Linear(16, 1), nn.Tanh(), nn.Flatten(0)), c4)
        >>> x = torch.rand(2, 1, 4, 4)
        >>> torch.allclose(critic(x), critic(c4.act(x, torch.tensor([1, 3]))))
        True
    """

    def __init__(self, critic: nn.Module, group: Group):
        super().__init__()
        if not group.finite:
            raise ValueError(
                f"{group.name} is continuous, and there is no end to its orbits. Take a finite group such as c8 or "
                "hue12, or CanonicalCritic, which needs one evaluation."
            )
        self.critic, self.group = critic, group

    def forward(self, x: Tensor) -> Tensor:
        orbit = self.group.orbit(x)
        return self.critic(orbit.flatten(0, 1)).view(orbit.shape[:2]).mean(1)


class CanonicalCritic(nn.Module):
    """D(c(x)): a critic of canonical samples. On those an ordinary critic is invariant, at one evaluation for the |G|
    of an orbit, as far as the canonicalizer is equivariant; it need not have learned anything.

    A hard choice jumps where two elements are equally likely, and no Lipschitz constant holds there. So the elements
    within a margin of the likeliest are weighted, and their scores averaged, which is continuous and invariant still.
    Elsewhere one element is evaluated. The margin must not be small: a critic that has to change within it is steep
    there, and a gradient penalty then holds it down everywhere.

    Args:
        critic: maps samples to scores `(batch,)`.
        canonicalizer: equivariant over its group; it is frozen. Of a continuous group the one element that it finds is
            taken.
        margin: in deviations of the logits over the group.

    Example:
        >>> import torch
        >>> from hf_canon import get_group
        >>> from hf_canon.canonicalizers import EquivariantCanonicalizer
        >>> c4 = get_group("c4")
        >>> critic = CanonicalCritic(Encoder((1, 16, 16), 4), EquivariantCanonicalizer(c4, channels=1))
        >>> x = torch.rand(2, 1, 16, 16)
        >>> torch.allclose(critic(x), critic(c4.act(x, torch.tensor([1, 3]))), atol=1e-5)
        True
    """

    def __init__(self, critic: nn.Module, canonicalizer: Canonicalizer, margin: float = 1.0):
        super().__init__()
        self.critic, self.canonicalizer, self.margin = critic, canonicalizer.requires_grad_(False), margin
        self.group = canonicalizer.group

    def forward(self, x: Tensor) -> Tensor:
        logits = self.canonicalizer.eval()(x)
        if not self.group.finite:
            return self.critic(self.group.act(x, self.group.inverse(self.canonicalizer.element(logits))))
        weight = self.weights(logits)
        item, element = weight.nonzero(as_tuple=True)
        scores = self.critic(self.group.act(x[item], self.group.inverse(element)))
        return scores.new_zeros(len(x)).index_add(0, item, scores * weight[item, element])

    def weights(self, logits: Tensor) -> Tensor:
        """`(batch, |G|)`: 1 for the likeliest element, and shares where others are as likely by a margin."""
        behind = logits.amax(1, keepdim=True) - logits
        reach = self.margin * logits.std(1, keepdim=True).clamp(min=1e-12)
        weight = (1 - behind / reach).clamp(min=0)
        return weight / weight.sum(1, keepdim=True)


def critic_of(invariance: str, group: Group, shape: Sequence[int], width: int, canonicalizer: Any = None) -> nn.Module:
    """A convolutional critic.

    Args:
        invariance: "orbit", "convolution", "canonical" (all invariant), or "none".
        canonicalizer: of the group, for "canonical".

    Raises:
        ValueError: there is no such invariance, the group does not fit it, or the canonicalizer is missing.
    """
    if invariance == "convolution":
        return Encoder(shape, width, require_exact(group, "Take the invariance 'orbit' or 'canonical'."))
    critic = Encoder(shape, width)
    if invariance == "orbit":
        return OrbitCritic(critic, group)
    if invariance == "none":
        return critic
    if invariance != "canonical":
        raise ValueError(
            f"There is no invariance {invariance!r} of a critic. Known ones: 'orbit', 'convolution', 'canonical', "
            "'none'."
        )
    if canonicalizer is None or canonicalizer.group != group:
        raise ValueError(f"A canonical critic needs an equivariant canonicalizer over {group.name}. Give one.")
    return CanonicalCritic(critic, canonicalizer)
