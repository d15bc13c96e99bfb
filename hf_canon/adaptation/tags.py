"""How much each unit of a layer follows the modulator, in two ways, each of which is the other's test.

For a Gaussian modulator of variance s^2, Stein's lemma has cov(h, m) = s^2 E[dh/dm]; for small s that is the product
of the layer's Jacobian with the modulated activity, at one pass with a tangent in place of hundreds of noisy ones.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

Read = Callable[[Tensor, float], Tensor]
"""From a modulator `(batch,)` and the variance of its distribution to activity `(batch, ...)`."""


def sampled_tags(read: Read, batch: int, samples: int, noise: float, like: Tensor) -> Tensor:
    """cov(h, m) / s^2 over draws of the modulator, for each member of a batch: the literal estimate (2311.15053).

    Args:
        read: gives the activity for a modulator.
        batch: its size.
        samples: how many draws for each member.
        noise: s, the modulator's standard deviation.
        like: has the device of the modulator.

    Returns:
        Of the activity's shape. Differentiable in what `read` depends on; the memory for that grows with the samples.

    Example:
        >>> read = lambda m, variance: m[:, None] * torch.tensor([2.0, 0.0, -1.0])
        >>> sampled_tags(read, 1, 1000, 0.1, torch.zeros(())).round(decimals=0).tolist()
        [[2.0, 0.0, -1.0]]
    """
    draws = noise * torch.randn(samples, batch, device=like.device)
    draws = draws - draws.mean(0)  # then the mean of the products is the covariance
    total: Any = 0
    for m in draws:
        h = read(m, noise**2)
        total = total + h.to(torch.promote_types(h.dtype, torch.float32)) * m.reshape(-1, *[1] * (h.ndim - 1))
    return above_nothing(total / ((samples - 1) * noise**2), h)


def product_tags(read: Read, batch: int, like: Tensor) -> Tensor:
    """dh/dm at m = 0: what `sampled_tags` converges to for many draws of little noise.

    Args:
        read: gives the activity for a modulator.
        batch: its size.
        like: has the device of the modulator.

    Returns:
        Of the activity's shape. Differentiable in what `read` depends on.

    Raises:
        RuntimeError: an operation of the model has no forward derivative.

    Example:
        >>> read = lambda m, variance: m[:, None] * torch.tensor([2.0, 0.0, -1.0])
        >>> product_tags(read, 1, torch.zeros(())).tolist()
        [[2.0, 0.0, -1.0]]
    """
    m = torch.zeros(batch, device=like.device)
    try:
        with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH):  # fused kernels have no forward derivative
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # torch's own, at the first use
            h, tags = jvp(lambda m: read(m, 0.0), (m,), (torch.ones_like(m),))  # type: ignore[misc]
    except (NotImplementedError, RuntimeError) as error:
        if "forward AD" not in str(error) and "transform" not in str(error):
            raise
        raise RuntimeError(
            f"Something in this model has no forward derivative ({str(error).splitlines()[0]}). Attach with "
            "estimator='sampling', or load the model with attn_implementation='eager'."
        ) from error
    return above_nothing(tags.to(torch.promote_types(torch.float32, tags.dtype)), h)


NOTHING = 1e-4
"""Tags that are as small as this beside the activity are no tags."""


def above_nothing(tags: Tensor, activity: Tensor) -> Tensor:
    """Tags, unless all of them are nothing beside the activity: equal couplings in front of a norm scale what it
    undoes, and what is left, by its epsilon or by rounding, says nothing. Gradients reach them all the same."""
    activity = activity.detach()
    following = tags.detach().abs().mean() > NOTHING * activity.abs().mean()
    return torch.where(following, above_rounding(tags, activity), tags - tags.detach())


def above_rounding(tags: Tensor, activity: Tensor) -> Tensor:
    """Tags, but for those that are nothing beside the activity: behind a norm, what scales everything changes nothing,
    and gains would be made of rounding errors. Gradients reach them all the same."""
    level = activity.detach().abs().mean() * 8 * torch.finfo(activity.dtype).eps
    return tags - (tags * (tags.abs() <= level)).detach()
