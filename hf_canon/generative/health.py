"""Whether a training is still one: divergence, collapse, and samples that leave out part of the orbit."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..groups import Group

TEMPLATES = 4
"""Of noise."""
COMPARED, IMAGES, PARAMETERS = 64, 48, 8
"""Samples whose distances are looked at; and images of each under the group, at most, or under a continuous one."""
TIE = 1e-4
"""Shares of likeness that are no difference."""
PATIENCE = 5
"""In how many looks, one after the other, something has to be wrong."""
WARM_UP = 0.1
"""Share of the training in which nothing is expected of it."""
# A sound training has a steepness of 1 at most, a distance and a spread near 1, and a diversity near its target;
# these are far from that, and are not reached by the trainings of the benchmark that do not collapse.
STEEP, FAR, NARROW, ONE_SIDED = 3.0, 10.0, 0.15, 0.6


def orbit_uniformity(samples: Tensor, group: Group) -> float:
    """The p-value of a test that the orbits of these samples are uniform: a chi-squared test of their poses.

    The pose of x under a template w is the element g for which g^-1 x is most like w, and it transforms with x: pose(h
    x) = h pose(x). So the poses of a distribution that the group leaves as it is are uniform, under every template.
    One is the mean of half of the samples, under which the other half has its poses; the others are noise. The least
    p-value is multiplied by how many they are (Bonferroni). Of a group that resamples, the elements that do not are
    told apart: what a turn by 45 degrees does to sharpness would give poses away.

    Args:
        samples: `(n, ...)`, of the group's kind, independent of each other.
        group: one with several elements that act exactly.

    Raises:
        ValueError: there are too few samples to expect five of each element, or the group has no elements to tell.

    Example:
        >>> from hf_canon import get_group
        >>> c4 = get_group("c4")
        >>> x = torch.rand(200, 1, 8, 8) + torch.linspace(0, 2, 8)
        >>> turned = c4.act(x, c4.sample(200))
        >>> orbit_uniformity(x, c4) < 1e-6 < orbit_uniformity(turned, c4)
        True
    """
    order = len(group.exact_elements)
    if order < 2:
        raise ValueError(
            f"Every element of {group.name} but the identity resamples or scales, and poses cannot be told by what "
            "stays the same. Test another group, such as c4."
        )
    if len(samples) < 10 * order:
        raise ValueError(
            f"{len(samples)} samples are too few for {order} elements, of each of which five have to be expected in "
            f"half of them. Give {10 * order} or more."
        )
    counts = pose_counts(samples, group).double()
    expected = counts.sum(1, keepdim=True) / order
    statistic = ((counts - expected).square() / expected).sum(1)
    p = torch.special.gammaincc(torch.tensor((order - 1) / 2, dtype=torch.float64), statistic / 2)
    return min(1.0, len(counts) * float(p.min()))


def pose_counts(samples: Tensor, group: Group) -> Tensor:
    """How many samples have each pose among the exact elements under each template, `(templates, exact elements)`: all
    of them under noise, and half of them under the mean of the other half."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(TEMPLATES, samples[0].numel(), generator=generator).to(samples)
    half, rest = samples[::2], samples[1::2]
    mean = half.flatten(1).mean(0, keepdim=True)
    return torch.cat([counted(samples, noise, group, generator), counted(rest, mean, group, generator)])


def counted(samples: Tensor, templates: Tensor, group: Group, generator: torch.Generator) -> Tensor:
    """How many have each pose, `(templates, exact elements)`; `generator` draws where several are as likely."""
    elements = group.exact_elements.to(samples.device)
    likeness = torch.stack(
        [group.act(samples, group.inverse(one).expand(len(samples))).flatten(1) @ templates.T for one in elements], -1
    )
    # Of a sample that looks the same in several poses, one of them is drawn, and not the first.
    unlike = likeness.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(likeness.dtype).tiny)
    likeness = likeness / unlike + TIE * torch.rand(likeness.shape, generator=generator).to(likeness)
    poses = likeness.argmax(-1)  # samples, templates
    return torch.stack([torch.bincount(one, minlength=len(elements)) for one in poses.T])


def orbit_diversity(samples: Tensor, group: Group) -> Tensor:
    """How many of the exact elements there effectively are among the poses, as a share of what a uniform distribution
    shows in as many samples: 1 for an invariant distribution, 1 / |G| for a single pose. The exponential of the
    entropy of poses, under the template that sees it least. Always 1 where no element but the identity is exact."""
    counts = pose_counts(samples, group).float()
    n = counts.sum(1, keepdim=True).clamp(min=1)
    entropy = torch.special.entr(counts / n).sum(1)
    # In so few samples the entropy of a uniform distribution is lower, by (|G| - 1) / 2n (Miller, 1955).
    missing = (counts.shape[1] - 1) / (2 * n.squeeze(1))
    return ((entropy + missing).exp() / counts.shape[1]).clamp(max=1).min()


def orbit_distance(a: Tensor, b: Tensor, group: Group) -> Tensor:
    """The mean distance of samples to the nearest images of others; of a batch and itself, of different ones."""
    elements = group.grid(PARAMETERS)
    elements = elements[:: -(-len(elements) // IMAGES)]
    nearest = torch.full((len(a), len(b)), torch.inf, device=a.device)
    for one in elements.to(a.device):
        transformed = group.act(b, one.expand(len(b)))
        nearest = torch.minimum(nearest, torch.cdist(a.flatten(1).float(), transformed.flatten(1).float()))
    if a is b:
        return nearest.fill_diagonal_(0).sum() / (len(a) * (len(a) - 1))
    return nearest.mean()


def vital_signs(real: Tensor, fake: Tensor, gap: Tensor, group: Group) -> Tensor:
    """What `Health` looks at, `(5,)`, so that processes can average it: see there."""
    some_real, some_fake = real[:COMPARED], fake[:COMPARED]
    apart = torch.cdist(some_real.flatten(1).float(), some_fake.flatten(1).float()).mean()
    between, within, made = (
        orbit_distance(a, b, group)
        for a, b in ((some_real, some_fake), (some_real, some_real), (some_fake, some_fake))
    )
    tiny = torch.finfo(torch.float32).tiny
    signs = [gap / apart.clamp(min=tiny), between / within, made / within]
    if within <= 1e-6 * between:  # data that are one sample have no scale
        signs[1:] = [torch.ones_like(within)] * 2
    return torch.stack([*signs, orbit_diversity(fake, group), orbit_diversity(real, group)])


@dataclass
class Health:
    """Looks at the signs of a training, and says in one sentence what is wrong with it.

    A critic whose slopes are 1 at most cannot tell two distributions apart by more than the mean distance of their
    samples, for that bounds W1: `steepness`, the gap between its scores of real and generated samples over that
    distance, is at most 1, and a training that stays far above has diverged. So has one whose samples leave:
    `distance`, from the data, over that between data. `spread`, the mean distance between samples over that between
    data, falls to 0 as they become one. Both are taken modulo the group, for poses would hide it. `diversity` is
    `orbit_diversity`, to be compared with 1 where the critic cannot see poses, and with that of the data where it can.

    Args:
        steps: of the whole training.
        invariant: whether the critic is blind to poses.
        seen: for each sign whether it was wrong, in the last looks; a checkpoint keeps it.
    """

    steps: int
    invariant: bool
    seen: dict[str, list[bool]] = field(default_factory=dict)

    def __call__(self, step: int, signs: Tensor) -> tuple[str, str] | None:
        """What is wrong ("divergence", "collapse" or "non-finite") and the sentence; None while nothing is, or not for
        long enough.

        Args:
            step: of the generator.
            signs: what `vital_signs` returned.
        """
        if not signs.isfinite().all():
            return "non-finite", non_finite(step, "a sample", float(signs[~signs.isfinite()][0]))
        steepness, distance, spread, diversity, of_data = signs.tolist()
        target = 1.0 if self.invariant else of_data
        wrong = {
            "steep": steepness > STEEP,
            "far": distance > FAR,
            "narrow": spread < NARROW,
            "one-sided": diversity < ONE_SIDED * target,
        }
        for name, one in wrong.items():
            self.seen[name] = [*self.seen.get(name, []), one and step > WARM_UP * self.steps][-PATIENCE:]
        found = next((name for name, last in self.seen.items() if len(last) == PATIENCE and all(last)), None)
        if found is None:
            return None
        advice = "the critic cannot see poses, so symmetrize the generator too" if self.invariant else "train longer"
        sentence = {
            "steep": f"the critic tells the samples apart by {steepness:.1f} times the distance between them, and is "
            "no longer held by its penalty; lower critic_learning_rate, or raise the penalty.",
            "far": f"the samples are {distance:.0f} times as far from the data as those from each other; lower the "
            "learning rates.",
            "narrow": f"the samples differ by {100 * spread:.0f} % of what the data do; train the critic more, or "
            "lower generator_learning_rate.",
            "one-sided": f"the samples have {100 * diversity:.0f} % of the poses, and should have "
            f"{100 * target:.0f} %; {advice}.",
        }[found]
        kind = "divergence" if found in ("steep", "far") else "collapse"
        return kind, f"The training shows {kind} at step {step}: {sentence}"


def non_finite(step: int, what: str, value: float) -> str:
    return (
        f"The training stopped at step {step}, because {what} is {value}: nothing was updated with it, and what is "
        "saved is finite; lower the learning rates, or train without mixed precision."
    )
