"""Rotations and reflections of the image plane: `c<n>`, `d<n>` and `so2`.

Angles are counter-clockwise, as in `torch.rot90`. A reflection mirrors left and right, and is done *before* the
rotation: element `k + n * f` of `d<n>` is "mirror if f, then turn by k * 360 / n degrees". Composition is defined
once, here, and every action follows it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Group, OneParameter, centre
from .constants import constant
from .kinds import Images


class Planar(Group):
    """What `c<n>`, `d<n>` and `so2` share: an action given by a mirror and an angle.

    Quarter turns and mirrors permute pixels and are exact to the bit at every size. Any other angle is one
    `grid_sample` about the true centre `((W - 1) / 2, (H - 1) / 2)`, with the border pixels repeated outwards.
    """

    acts_on = (Images,)
    kind = Images()

    n: int | None = None
    """How many rotations there are; None for all of them."""
    reflections: bool = False
    """Whether there are mirror images too."""

    def angle_and_mirror(self, element: Tensor) -> tuple[Tensor, Tensor]:
        """The angle in radians and the mirror (bool) of each element."""
        raise NotImplementedError

    def degrees(self, element: int | float) -> tuple[float, bool]:
        """The angle of an element in [0, 360), without rounding, and whether it is a mirror image."""
        raise NotImplementedError

    def quarters(self, element: Tensor) -> tuple[Tensor, Tensor]:
        """The number of quarter turns of each element, and whether it is exactly that many (bool)."""
        raise NotImplementedError

    @property
    def cell(self) -> float:
        """Angle between neighbouring elements, radians; 0 for a continuous group."""
        return 0.0

    @property
    def turns_the_frame(self) -> bool:
        """Whether an element swaps or tilts height and width, which then have to be equal."""
        return True

    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        if len(shape) != 4:
            raise ValueError(
                f"{self.name} acts on images (batch, channels, height, width), and this input is {tuple(shape)}."
            )
        height, width = shape[-2:]
        if self.turns_the_frame and height != width:
            fits = "c2" if self.name[0] in "cs" else "d2"
            raise ValueError(
                f"{self.name} turns height into width, and this input is {height} x {width}. "
                f"Use '{fits}', which fits every shape, or crop or pad the input to a square."
            )

    def act(
        self,
        x: Tensor,
        element: Tensor,
        lengths: Tensor | None = None,
        *,
        interpolation: str = "bilinear",
        crop: int | tuple[int, int] | None = None,
    ) -> Tensor:
        """Transform each image of the batch by its own element.

        Args:
            x: `(batch, channels, height, width)`.
            element: `(batch,)`, on any device.
            lengths: None.
            interpolation: "bilinear", "bicubic" or "nearest", for angles that are not quarter turns.
            crop: height and width (or the side) of the centre that is returned; the margin around it fills the
                corners of images that are turned by other angles. The whole image by default.

        Raises:
            ValueError: the group does not fit the shape of `x`; the sentence says which group would.
        """
        inner = x if crop is None else centre(x, crop)
        self.check_shape(inner.shape)
        size = (inner.shape[-2], inner.shape[-1])
        element = element.to(x.device)
        angle, mirror = self.angle_and_mirror(element)
        turns, exact = self.quarters(element)
        if self.is_exact:
            return permute_pixels(inner, turns, mirror)
        if torch.compiler.is_compiling():  # no branch on values, at the price of resampling every image
            permuted = permute_pixels(inner, turns, mirror)
            return torch.where(exact.view(-1, 1, 1, 1), permuted, turn_pixels(x, angle, mirror, interpolation, size))
        # Only what needs resampling is resampled, and once, from the untouched pixels.
        if bool(exact.all()):
            return permute_pixels(inner, turns, mirror)
        if not bool(exact.any()):
            return turn_pixels(x, angle, mirror, interpolation, size)
        permuted = permute_pixels(inner[exact], turns[exact], mirror[exact])
        resampled = turn_pixels(x[~exact], angle[~exact], mirror[~exact], interpolation, size)
        order = torch.cat([exact.nonzero(), (~exact).nonzero()]).squeeze(1).argsort()
        return torch.cat([permuted, resampled])[order]

    @property
    def planar(self) -> "Planar":
        return self

    def act_cropped(self, x: Tensor, element: Tensor, crop: int | tuple[int, int]) -> Tensor:
        return self.act(x, element, crop=crop)

    def act_maps(self, maps: Tensor, element: Tensor, interpolation: str = "bilinear") -> Tensor:
        flat = maps.unsqueeze(1) if maps.ndim == 3 else maps.flatten(1, -3)
        return self.act(flat, element, interpolation=interpolation).view(maps.shape)

    def act_points(self, points: Tensor, element: Tensor) -> Tensor:
        cos, sin, sign = self._directions(element.to(points.device), points)
        x, y = (points - 0.5).unbind(-1)
        x = sign * x
        return torch.stack([cos * x + sin * y, cos * y - sin * x], -1) + 0.5

    def act_boxes(self, boxes: Tensor, element: Tensor) -> Tensor:
        """As `Group.act_boxes`; at other angles than quarter turns, to the upright box around the turned one, which is
        the smallest that holds its four corners."""
        cos, sin, _ = self._directions(element.to(boxes.device), boxes)
        centre, size = boxes.split(2, -1)
        width, height = size.unbind(-1)
        hull = torch.stack([cos.abs() * width + sin.abs() * height, sin.abs() * width + cos.abs() * height], -1)
        return torch.cat([self.act_points(centre, element), hull], -1)

    def _directions(self, element: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cosine, sine and the sign of a mirror, shaped to fit `(batch, ...)`; quarter turns without rounding."""
        angle, mirror = self.angle_and_mirror(element)
        turns, exact = self.quarters(element)
        quarter = torch.tensor([1.0, 0.0, -1.0, 0.0], device=element.device)
        cos = torch.where(exact, quarter[turns % 4], angle.float().cos())
        sin = torch.where(exact, quarter[(turns - 1) % 4], angle.float().sin())
        sign = torch.where(mirror, -1.0, 1.0)
        shape = [len(element)] + [1] * (like.ndim - 2)
        return cos.view(shape).to(like.dtype), sin.view(shape).to(like.dtype), sign.view(shape).to(like.dtype)

    def random_act(
        self, x: Tensor, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each image transformed by a random element and, unless the group is exact, turned a little further.

        Quarter turns keep pixels as they are and other angles blur them, which gives the element away: so every one
        is resampled, by bilinear or bicubic interpolation, at an angle of which the element is the nearest one.
        """
        if self.is_exact:
            return super().random_act(x, generator)
        self.check_shape(x.shape)
        element = self.sample(len(x), generator)
        angle, mirror = self.angle_and_mirror(element)
        offset = torch.rand(len(x), generator=generator) - 0.5
        bicubic = bool(torch.rand((), generator=generator) < 0.5)
        angle = (angle + offset * self.cell).to(x.device)
        transformed = turn_pixels(x, angle, mirror.to(x.device), "bicubic" if bicubic else "bilinear")
        return transformed, element.to(x.device), offset.to(x.device)


class FinitePlanar(Planar):
    """`c<n>` (rotations by multiples of 360/n degrees) or `d<n>` (those, and mirror images).

    Example:
        >>> from hf_canon import get_group
        >>> d4 = get_group("d4")
        >>> x = torch.rand(8, 3, 32, 32)
        >>> there = d4.act(x, d4.elements)
        >>> bool((d4.act(there, d4.inverse(d4.elements)) == x).all())
        True
    """

    n: int
    order: int

    def __init__(self, n: int, reflections: bool):
        self.n = n
        self.reflections = reflections
        self.name = f"{'d' if reflections else 'c'}{n}"
        rotations = f"rotations by multiples of {360 / n:g}°"
        self.meaning = f"{rotations}, and mirror images" if reflections else rotations
        self.order = 2 * n if reflections else n

    @property
    def cell(self) -> float:
        return 2 * math.pi / self.n

    @property
    def turns_the_frame(self) -> bool:
        return self.n > 2

    @property
    def exact_elements(self) -> Tensor:
        return torch.tensor([element for element in range(self.order) if 4 * (element % self.n) % self.n == 0])

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        turn_a, turn_b = a % self.n, b % self.n
        mirror_a, mirror_b = a // self.n, b // self.n
        # A mirror in `a` reverses the sense of the turn that was done before it.
        return (turn_a + torch.where(mirror_a == 1, -turn_b, turn_b)) % self.n + self.n * (mirror_a ^ mirror_b)

    def inverse(self, element: Tensor) -> Tensor:
        # Every mirror image undoes itself.
        return torch.where(element >= self.n, element, -element % self.n)

    def angle_and_mirror(self, element: Tensor) -> tuple[Tensor, Tensor]:
        mirror = element >= self.n if self.reflections else torch.zeros_like(element, dtype=torch.bool)
        return (element % self.n) * (2 * math.pi / self.n), mirror

    def degrees(self, element: int | float) -> tuple[float, bool]:
        return 360 * (int(element) % self.n) / self.n, element >= self.n

    def quarters(self, element: Tensor) -> tuple[Tensor, Tensor]:
        quarters_times_n = 4 * (element % self.n)
        return quarters_times_n // self.n, quarters_times_n % self.n == 0

    def describe(self, element: int | float) -> str:
        angle = f"{360 * (int(element) % self.n) / self.n:g}\N{DEGREE SIGN}"
        return f"mirrored, {angle}" if element >= self.n else angle


class SO2(Planar, OneParameter):
    """Every rotation; an element is an angle in radians.

    Example:
        >>> from hf_canon import get_group
        >>> so2 = get_group("so2")
        >>> round(float(so2.compose(torch.tensor(3.0), so2.inverse(torch.tensor(1.0)))), 3)
        2.0
    """

    name = "so2"
    meaning = "rotations by any angle"
    period = 2 * math.pi
    reach = math.pi
    tolerance = math.pi / 8

    @property
    def exact_elements(self) -> Tensor:
        return torch.arange(4) * (math.pi / 2)

    def angle_and_mirror(self, element: Tensor) -> tuple[Tensor, Tensor]:
        return element, torch.zeros_like(element, dtype=torch.bool)

    def degrees(self, element: int | float) -> tuple[float, bool]:
        return math.degrees(element) % 360, False

    def quarters(self, element: Tensor) -> tuple[Tensor, Tensor]:
        turns = element / (math.pi / 2)
        nearest = turns.round()
        return nearest.long() % 4, (turns - nearest).abs() < 1e-6

    def describe(self, element: int | float) -> str:
        return f"{math.degrees(element):.1f}\N{DEGREE SIGN}"


def permute_pixels(x: Tensor, quarter_turns: Tensor, mirror: Tensor) -> Tensor:
    """Mirror, then turn by quarters, by moving pixels. `x` is (batch, channels, H, W), the others (batch,)."""
    height, width = x.shape[-2:]
    if x.device.type == "cpu" and len(x) and not torch.compiler.is_compiling():  # looking at values is free here
        moves = zip(x, quarter_turns.tolist(), mirror.tolist(), strict=True)
        return torch.stack([torch.rot90(one.flip(2) if mirrored else one, k, (1, 2)) for one, k, mirrored in moves])
    source = permutations(height, width, x.device)[quarter_turns % 4 + 4 * mirror.long()]
    return x.flatten(2).gather(2, source.unsqueeze(1).expand(-1, x.shape[1], -1)).view(x.shape)


@constant
def permutations(height: int, width: int, device: torch.device) -> Tensor:
    """Where every pixel comes from: row `k + 4 f` mirrors if f, and turns by k quarters. `(8, height * width)`."""
    grid = torch.arange(height * width, device=device).view(height, width)
    rows = [
        # An oblong image has no odd quarters; check_shape has refused them, and their rows are never read.
        (torch.rot90(start, k, (0, 1)) if height == width or k % 2 == 0 else start).flatten()
        for start in (grid, grid.flip(1))
        for k in range(4)
    ]
    return torch.stack(rows)


def turn_pixels(
    x: Tensor,
    angle: Tensor,
    mirror: Tensor,
    interpolation: str = "bilinear",
    crop: tuple[int, int] | None = None,
) -> Tensor:
    """Mirror, then turn counter-clockwise by `angle` (radians, (batch,)), in one resampling of `x`.

    The pixel at p of the result is read at F(R(-angle) p), coordinates relative to the centre. Of the result, the
    centre that is as high and as wide as `crop`.
    """
    height, width = x.shape[-2:]
    rows, columns = crop or (height, width)
    angle = angle.float()
    cos, sin = angle.cos(), angle.sin()
    sign = torch.where(mirror, -1.0, 1.0)
    # grid_sample's y axis points down, so a counter-clockwise turn by a is [[cos, -sin], [sin, cos]] for the source.
    # Its axes are scaled to [-1, 1] between the centres of the outer pixels, of the result and of the image: hence
    # the ratios for oblong images and for margins.
    down, across = max(height - 1, 1), max(width - 1, 1)
    below, beside = max(rows - 1, 1), max(columns - 1, 1)
    zero = torch.zeros_like(cos)
    theta = torch.stack(
        [
            torch.stack([sign * cos * (beside / across), -sign * sin * (below / across), zero], -1),
            torch.stack([sin * (beside / down), cos * (below / down), zero], -1),
        ],
        -2,
    )
    with torch.autocast(x.device.type, enabled=False):  # half precision misses by half a pixel
        grid = F.affine_grid(theta, [len(x), 1, rows, columns], align_corners=True)
        out = F.grid_sample(x.float(), grid, mode=interpolation, padding_mode="border", align_corners=True)
    if not x.is_floating_point():
        bounds = torch.iinfo(x.dtype)
        out = out.round().clamp(bounds.min, bounds.max)
    return out.to(x.dtype)
