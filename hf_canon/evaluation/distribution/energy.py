"""The energy distance between two samples (Székely and Rizzo 2013, doi:10.1016/j.jspi.2013.03.018), and its chance.

    D^2(P, Q) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|

is zero if P = Q and above zero otherwise. Estimated over pairs of different items it has no bias, and so is about as
often below zero as above where P = Q. It is a squared norm, |mu_P - mu_Q|^2: where a share s of the items has
transformed, D is s times what it is where all have, and D^2 is s^2 times that.

For a group, D_G(P, Q) = D(S^G P, S^G Q), where S^G P is the distribution of g X with a uniform element g. By
E_{S^G P}[f] = E_P[S_G f] (Birrell et al., arXiv 2202.01129; Chen et al., arXiv 2305.13517) it is the same formula with
distances that are averaged over both orbits, and |G| members of each item make it less noisy.
"""

import numpy as np
import torch
from torch import Tensor

ROUNDS = 1000
"""How many rounds are computed at once, which bounds the memory that they take."""


def mean_distances(members: Tensor) -> np.ndarray:
    """How far items are from each other, on average over their members.

    Args:
        members: `(items, members, features)`.

    Returns:
        `(items, items)`, and zeros along the diagonal: an item is in no pair with itself.

    Example:
        >>> mean_distances(torch.tensor([[[0.0], [1.0]], [[2.0], [5.0]]]))
        array([[0., 3.],
               [3., 0.]])
    """
    # Of large numbers that lie near to each other, distances would be rounding; they do not know where zero is.
    columns = (members.double() - members.double().mean((0, 1))).unbind(1)
    total = torch.zeros(len(members), len(members), dtype=torch.float64, device=members.device)
    for i, one in enumerate(columns):
        total += torch.cdist(one, one)
        for other in columns[:i]:
            apart = torch.cdist(one, other)
            total += apart + apart.T
    total /= len(columns) ** 2
    return total.fill_diagonal_(0).cpu().numpy()


def squared_energy(distances: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """D^2 between two weighted samples, `(rounds,)`.

    Args:
        distances: `(items, items)`, zero along the diagonal.
        a: `(rounds, items)`, how often each item is in the first sample; and `b`: in the second, where `a` is zero.
        b: `(rounds, items)`.
    """

    def within(near: np.ndarray, sample: np.ndarray) -> np.ndarray:
        return (near * sample).sum(1) / (sample.sum(1) ** 2 - (sample**2).sum(1))

    near_a, near_b = a @ distances, b @ distances
    across = (near_a * b).sum(1) / (a.sum(1) * b.sum(1))
    return 2 * across - within(near_a, a) - within(near_b, b)


def samples(first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples, one after the other: `(1, items)` each."""
    a = np.repeat([[1.0, 0.0]], [first, second], axis=1)
    return a, 1 - a


def dealt_out(distances: np.ndarray, first: int, rounds: int, seed: int) -> np.ndarray:
    """D^2 between two samples that are dealt out at random, `(rounds,)`. What belongs to an item stays with it.

    Args:
        distances: `(items, items)`.
        first: how many items the first sample has.
        rounds: how often.
        seed: of the draws; with the same one, other distances are dealt out alike.
    """
    rng = np.random.default_rng(seed)
    a, _ = samples(first, len(distances) - first)
    found = []
    for start in range(0, rounds, ROUNDS):
        dealt = rng.permuted(a.repeat(min(ROUNDS, rounds - start), 0), axis=1)
        found.append(squared_energy(distances, dealt, 1 - dealt))
    return np.concatenate(found)


def drawn_again(several: list[np.ndarray], first: int, rounds: int, seed: int) -> list[np.ndarray]:
    """D^2 of bootstrap samples, `(rounds,)` for each of several distances between the same items: items are drawn with
    replacement, and an item is in no pair with itself, however often it is drawn.

    Args:
        several: `(items, items)` each.
        first: how many items the first sample has.
        rounds: how often.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    second = len(several[0]) - first
    a, b = (rng.multinomial(n, np.full(n, 1 / n), rounds).astype(float) for n in (first, second))
    a, b = np.pad(a, ((0, 0), (0, second))), np.pad(b, ((0, 0), (first, 0)))
    return [squared_energy(distances, a, b) for distances in several]
