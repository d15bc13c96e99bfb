"""What a group is: elements that compose, and an action that transforms inputs."""

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import Self

import torch
from torch import Tensor

from .kinds import Kind


class Group(ABC):
    """A group of transformations and its action on a batch of inputs.

    A group knows tensors only. It has no hidden state: two threads may share one. An `element` is a long tensor
    `(batch,)` of indices for a finite group, 0 being the identity, and a float tensor `(batch,)` of parameters for a
    continuous one. For every pair of elements, `act(act(x, a), b) == act(x, compose(b, a))`.
    """

    name: str
    meaning: str
    """What its elements do, in words."""
    order: int | None
    """Number of elements; None for a continuous group."""
    acts_on: tuple[type[Kind], ...]
    kind: Kind
    """What the numbers of its inputs mean; `on` gives the same group on others."""

    def on(self, kind: Kind) -> Self:
        """The same group, acting on inputs of that kind.

        Raises:
            ValueError: it does not act on such inputs.
        """
        if not isinstance(kind, self.acts_on):
            raise ValueError(
                f"{self.name} ({self.meaning}) acts on {' or '.join(one.noun for one in self.acts_on)}, and these "
                f"inputs are {kind.noun}."
            )
        bound = copy(self)
        bound.kind = kind
        return bound

    @property
    def finite(self) -> bool:
        return self.order is not None

    @property
    def identity(self) -> int | float:
        return 0 if self.finite else 0.0

    @property
    def elements(self) -> Tensor:
        """Every element, `(order,)`."""
        if self.order is None:
            raise ValueError(f"{self.name} is continuous and its elements cannot be listed; sample(n) draws some.")
        return torch.arange(self.order)

    @property
    @abstractmethod
    def exact_elements(self) -> Tensor:
        """The elements that only permute the grid, the channels or the signs, and so act without rounding, but for
        that of channels which are normalized differently; they form a subgroup. `(k,)`."""

    @property
    def is_exact(self) -> bool:
        return self.order == len(self.exact_elements)

    @abstractmethod
    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The element that does `b` first and `a` after it. Shapes broadcast."""

    @abstractmethod
    def inverse(self, element: Tensor) -> Tensor: ...

    @abstractmethod
    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Move each input of the batch by its own element.

        Args:
            x: `(batch, ...)`, of the group's kind.
            element: `(batch,)`, on any device.
            lengths: `(batch,)`, how much of each is audio, where clips are padded to one length; images have none.

        Raises:
            ValueError: the group does not fit the shape of `x`; the sentence says which group would.
        """

    @abstractmethod
    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        """Raise ValueError if the group cannot act on inputs of this shape."""

    tolerance: float = 0.0
    """How near a found element has to be to the true one to count as found."""

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """How far elements are from each other, float64: of a finite group 0 or 1, of a continuous one in its own
        unit. Shapes broadcast."""
        return (a != b).double()

    def grid(self, n: int) -> Tensor:
        """The elements over which something is measured: all of a finite group, or `n` that are spread evenly."""
        return self.elements

    def nearest(self, element: Tensor, n: int) -> Tensor:
        """The place in `grid(n)` of the element that lies nearest, long."""
        return element.long()

    def peak(self, logits: Tensor) -> Tensor:
        """The likeliest element of logits over the group (of a continuous one, over `grid`), `(batch,)`."""
        return logits.argmax(-1)

    def shown(self, element: int | float) -> float | None:
        """An element of a continuous group in the unit in which people give it, which is degrees for circles; None for
        a finite one."""
        return None

    @abstractmethod
    def describe(self, element: int | float) -> str:
        """One element in words, for tables and images."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """`n` elements drawn uniformly."""
        if self.order is None:
            raise NotImplementedError
        return torch.randint(self.order, (n,), generator=generator)

    def random_act(
        self, x: Tensor, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Training inputs: each transformed by a random element and, unless the group is exact, by a little more.

        Returns:
            The transformed inputs; the elements, `(batch,)`; and how much further than its element each input was
            transformed, in units of the distance between neighbouring elements, within +-0.5, `(batch,)`.
        """
        element = self.sample(len(x), generator).to(x.device)
        return self.act(x, element, lengths), element, torch.zeros(len(x), device=x.device)

    def orbit(self, x: Tensor, elements: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Every version of every input: `(batch, k, ...)` for `k` elements (all by default)."""
        elements = (self.elements if elements is None else elements).to(x.device)
        self.check_shape(x.shape)
        k, batch = len(elements), len(x)
        copies = x.unsqueeze(1).expand(batch, k, *x.shape[1:]).flatten(0, 1)
        lengths = None if lengths is None else lengths.repeat_interleave(k)
        return self.act(copies, elements.repeat(batch), lengths).unflatten(0, (batch, k))

    @property
    def planar(self) -> "Group | None":
        """The group, or the factor of it, that moves places in an image; None where they stay."""
        return None

    @property
    def temporal(self) -> "Group | None":
        """The group, or the factor of it, that moves moments of an audio clip; None where they stay."""
        return None

    def act_cropped(self, x: Tensor, element: Tensor, crop: int | tuple[int, int]) -> Tensor:
        """Move images with a margin, and return the centre, `crop` high and wide: a turn brings what was in the margin
        into the corners of the centre."""
        return self.act(centre(x, crop), element)

    def act_maps(self, maps: Tensor, element: Tensor, interpolation: str = "bilinear") -> Tensor:
        """Move values at places with the image that they are about, `(batch, ..., height, width)`."""
        return maps

    def act_points(self, points: Tensor, element: Tensor) -> Tensor:
        """Move points with the image that they are in.

        Args:
            points: `(batch, ..., 2)`, x to the right and y downwards, as shares of width and height.
            element: `(batch,)`.
        """
        return points

    def act_boxes(self, boxes: Tensor, element: Tensor) -> Tensor:
        """Move boxes with the image that they are in.

        Args:
            boxes: `(batch, ..., 4)`, centre and size (x, y, width, height), as shares of width and height.
            element: `(batch,)`.
        """
        return boxes

    def act_frames(
        self, frames: Tensor, element: Tensor, lengths: Tensor | None = None, count: Tensor | int | None = None
    ) -> Tensor:
        """Move what was found for each moment with the audio.

        Args:
            frames: `(batch, frames, ...)`, evenly spaced over the audio.
            element: `(batch,)`, on any device.
            lengths: `(batch,)`, how many frames of each are audio.
            count: frames of the result, where an element changes how many there are; it keeps all that are audio
                unless said.
        """
        return frames

    def transformed_lengths(self, lengths: Tensor, element: Tensor, transformed: Tensor | None = None) -> Tensor:
        """How long clips are after they were transformed, `(batch,)`: as before, unless an element stretches them.

        Args:
            lengths: `(batch,)`, before.
            element: `(batch,)`, on any device.
            transformed: what `act` returned; a spectrogram keeps its number of frames, and loses what no longer fits.
        """
        return lengths

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"get_group({self.name!r})"


class OneParameter(Group):
    """A continuous group whose elements are numbers that add up: angles on a circle, or decibels on a line."""

    order = None
    period: float | None
    """After how much an element is the identity again; None on a line."""
    reach: float
    """Elements are looked for, and drawn at random, between minus and plus this."""

    @property
    def exact_elements(self) -> Tensor:
        return torch.zeros(1)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self.wrap(a + b)

    def inverse(self, element: Tensor) -> Tensor:
        return self.wrap(-element)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * self.reach

    def wrap(self, element: Tensor) -> Tensor:
        """The same element in (-period / 2, period / 2]; on a line, as it is."""
        if self.period is None:
            return element
        return self.period / 2 - (self.period / 2 - element) % self.period

    @property
    def is_circle(self) -> bool:
        """Whether elements are angles, in radians."""
        return self.period is not None and math.isclose(self.period, 2 * math.pi)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        return self.wrap(a.double() - b.double()).abs()

    def grid(self, n: int) -> Tensor:
        """Elements spread evenly, `(n,)`: around the circle from 0 on, or along the line from -reach to reach."""
        if self.period is None:
            return torch.linspace(-self.reach, self.reach, n)
        return torch.arange(n) * (self.period / n)

    def nearest(self, element: Tensor, n: int) -> Tensor:
        return self.distance(self.grid(n).to(element.device), element.unsqueeze(-1)).argmin(-1)

    def peak(self, logits: Tensor) -> Tensor:
        """Between the bins: the vertex of the parabola through the highest one and its two neighbours; the ends of a
        line have but one."""
        bins = logits.shape[-1]
        highest = logits.argmax(-1, keepdim=True)
        around = (highest + torch.arange(-1, 2, device=logits.device)) % bins
        before, at, after = logits.float().gather(-1, around).unbind(-1)
        curvature = before - 2 * at + after
        offset = (0.5 * (before - after) / curvature.clamp(max=-1e-12)).clamp(-0.5, 0.5)
        inside = curvature < 0
        parameters = self.grid(bins).to(logits.device)
        if self.period is None:
            inside = inside & (around[:, 0] < around[:, 1]) & (around[:, 1] < around[:, 2])
        step = parameters[1] - parameters[0]
        return self.wrap(parameters[highest.squeeze(-1)] + torch.where(inside, offset, 0.0) * step)

    def shown(self, element: int | float) -> float | None:
        return math.degrees(element) if self.is_circle else float(element)


def centre(x: Tensor, crop: int | tuple[int, int]) -> Tensor:
    """The centre of images, as high and as wide as `crop`, or as a side says.

    Raises:
        ValueError: it is larger than the images, or its middle is not theirs.
    """
    height, width = x.shape[-2:]
    rows, columns = (crop, crop) if isinstance(crop, int) else crop
    above, left = (height - rows) // 2, (width - columns) // 2
    if min(above, left) < 0 or (rows + 2 * above, columns + 2 * left) != (height, width):
        raise ValueError(
            f"These images are {height} x {width}, and {rows} x {columns} of them was asked for: a margin has as "
            "many pixels on either side. Make images that are larger by an even number of pixels."
        )
    return x[..., above : above + rows, left : left + columns]
