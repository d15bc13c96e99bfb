"""What a generator and a critic play for: a distance of two distributions, as a supremum over critics.

Each has `critic_loss` and `generator_loss`, of scores of real samples and of generated ones, `(batch,)` each, and the
`gradient_penalty` keeps the critics Lipschitz: one-sided, as in arXiv 2305.13517, section 5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Divergence(Protocol):
    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor: ...

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Wasserstein:
    """W1(P, Q) = sup over D of E_P[D] - E_Q[D] (Arjovsky et al., arXiv 1701.07875)."""

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -fake.mean()


@dataclass(frozen=True)
class LipschitzAlpha:
    """The Lipschitz-regularized alpha-divergence: sup over D of E_P[D] - E_Q[f*(D)], for alpha > 1 with

        f*(y) = (a-1)^{a/(a-1)} y_+^{a/(a-1)} / a + 1/(a(a-1))

    (arXiv 2202.01129, section 2). It stays finite for distributions with heavy tails or disjoint supports, as W1 does,
    and weighs what is unlikely like an alpha-divergence.

    Args:
        alpha: above 1.

    Raises:
        ValueError: alpha is not.

    Example:
        >>> LipschitzAlpha(2.0).conjugate(torch.tensor([-1.0, 0.0, 2.0]))
        tensor([0.5000, 0.5000, 2.5000])
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if self.alpha <= 1:
            raise ValueError(f"The divergence is defined for alpha above 1, and this is {self.alpha}. Give alpha=2.0.")

    def conjugate(self, y: Tensor) -> Tensor:
        a = self.alpha
        power = a / (a - 1)
        return (a - 1) ** power * y.clamp(min=0) ** power / a + 1 / (a * (a - 1))

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.conjugate(fake).mean() - real.mean()

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return -self.conjugate(fake).mean()


@dataclass(frozen=True)
class Relativistic:
    """The relativistic average logistic loss (Jolicoeur-Martineau, arXiv 1807.00734): is it more real than the others
    are on average? Both losses look at real and generated samples."""

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake.mean() - real).mean() + F.softplus(fake - real.mean()).mean()

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.critic_loss(fake, real)


def divergence_named(name: str, alpha: float) -> Divergence:
    """
    Raises:
        ValueError: there is none of that name, or alpha cannot be one.
    """
    known: dict[str, Divergence] = {
        "wasserstein": Wasserstein(),
        "lipschitz": LipschitzAlpha(alpha),
        "relativistic": Relativistic(),
    }
    if name not in known:
        raise ValueError(f"There is no divergence {name!r}. Known ones: {', '.join(known)}.")
    return known[name]


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """E[max(0, |grad D|^2 - 1)] at random points between real and generated samples (one-sided: arXiv 1704.00028,
    section 4, with the squared norm of 2305.13517). Without a bound from below, invariant critics are not asked for
    slopes that they cannot have."""
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    with torch.autocast(real.device.type, enabled=False):
        between = (share * real.float() + (1 - share) * fake.float()).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return (gradient.flatten(1).square().sum(1) - 1).clamp(min=0).mean()
