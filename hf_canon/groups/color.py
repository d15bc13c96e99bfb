"""What happens to the colours of an image: `channels`, `negative`, `hue<n>`, `hue`, `white_balance` and `gamma`.

They act on v, which is 0 for black and 1 for white, whatever normalisation the numbers of an image carry
(`Images.scale` and `offset`; whole numbers are taken to be bytes, 0 to 255). Nothing is clipped to [0, 1]: an action
that clips could not be undone. The identity leaves every value as it is, to the bit.
"""

import math
from itertools import permutations

import torch
from torch import Tensor

from .base import Group, OneParameter
from .constants import constant
from .kinds import Images, Kind


class Color(Group):
    """What the groups of colours share. Pixels stay where they are."""

    acts_on = (Images,)
    kind: Images = Images((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    grey = False
    """Whether it acts on images of one channel too."""

    def on(self, kind: Kind) -> "Color":
        """The same group, acting on images that are normalised in that way.

        Raises:
            ValueError: these are no images, their normalisation is not known, or they have other channels.
        """
        if isinstance(kind, Images):
            if kind.scale is None or kind.offset is None:
                raise ValueError(
                    f"{self.name} ({self.meaning}) has to know which numbers are black and white, and nothing says "
                    "how these images are normalised, or something else happens to their colours too "
                    "(do_flip_channel_order): wrap a folder or Hub id that has its preprocessor_config.json beside "
                    "it, or give `processor=` with a live model."
                )
            if len(kind.scale) != 3 and not (self.grey and len(kind.scale) == 1):
                wanted = "images in grey or in red, green and blue" if self.grey else "red, green and blue"
                raise ValueError(
                    f"{self.name} acts on {wanted}, and the channels of these images are {len(kind.scale)}. "
                    f"{'Take another group' if self.grey else 'Grey ones have negative and gamma'}."
                )
        return super().on(kind)

    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        assert self.kind.scale is not None  # `on` has seen to it
        channels = len(self.kind.scale)
        if len(shape) != 4 or shape[1] != channels:
            raise ValueError(
                f"{self.name} acts on images in {'grey' if channels == 1 else 'red, green and blue'} "
                f"(batch, {channels}, height, width), and this input is {tuple(shape)}; convert it to "
                f"{'grey' if channels == 1 else 'RGB'}."
            )

    def normalization(self, x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale and offset of each channel."""
        if not x.is_floating_point():
            return (255.0,) * x.shape[1], (0.0,) * x.shape[1]
        assert self.kind.scale is not None and self.kind.offset is not None  # `on` has seen to it
        return self.kind.scale, self.kind.offset

    def unnormalized(self, x: Tensor) -> Tensor:
        """v of each value, in single precision at least."""
        scale, offset = (per_channel(one, x.device)[:, None, None] for one in self.normalization(x))
        return (widened(x) - offset) / scale

    def mean_color(self, x: Tensor) -> Tensor:
        """Mean v of each channel, `(batch, channels)`."""
        scale, offset = (per_channel(one, x.device) for one in self.normalization(x))
        return (widened(x).mean((2, 3)) - offset) / scale


class Channels(Color):
    """`channels`: the six orders of red, green and blue; BGR read as RGB is one of them.

    Where the channels share one normalisation, values are transformed and never computed with. Otherwise each is
    renormalised, and right up to rounding.

    Example:
        >>> from hf_canon import get_group
        >>> channels = get_group("channels")
        >>> channels.describe(5)
        'BGR'
        >>> x = torch.rand(1, 3, 8, 8)
        >>> bool((channels.act(x, torch.tensor([5])) == x.flip(1)).all())
        True
    """

    name = "channels"
    meaning = "orders of red, green and blue"
    order = 6

    @property
    def exact_elements(self) -> Tensor:
        return self.elements

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        a, b = torch.broadcast_tensors(a, b)
        table = channel_orders(a.device)
        return index_of_order(table[b].gather(-1, table[a]))

    def inverse(self, element: Tensor) -> Tensor:
        return index_of_order(channel_orders(element.device)[element].argsort(-1))

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        return permute_channels(x, channel_orders(x.device)[element.to(x.device)], *self.normalization(x))

    def describe(self, element: int | float) -> str:
        return "".join("RGB"[channel] for channel in ORDERS[int(element)])


class Negative(Color):
    """`negative`: v to 1 - v, in one subtraction. That is a negation, and exact, for a mean and deviation of 0.5;
    exact for bytes; and elsewhere as near as the sum of two floats can be.

    Example:
        >>> from hf_canon import get_group
        >>> get_group("negative").act(torch.full((1, 3, 1, 1), 0.25), torch.tensor([1])).flatten()
        tensor([0.7500, 0.7500, 0.7500])
    """

    name = "negative"
    meaning = "photographic negatives"
    order = 2
    grey = True

    @property
    def exact_elements(self) -> Tensor:
        return self.elements

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return a ^ b

    def inverse(self, element: Tensor) -> Tensor:
        return element.clone()

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        # Black and white change places, so their sum stays; rounded, as -1 and 1 may be off by a last bit.
        black_and_white = tuple(round(s + 2 * t, 9) for s, t in zip(*self.normalization(x), strict=True))
        flipped = element.to(x.device)[:, None].expand(-1, x.shape[1]) == 1
        offset = torch.where(flipped, per_channel(black_and_white, x.device), 0.0)
        return affine(x, torch.where(flipped, -1.0, 1.0), offset)

    def describe(self, element: int | float) -> str:
        return "negative" if element else "positive"


class Hue(Color):
    """What `hue<n>` and `hue` share: rotations of RGB about its grey axis, red towards green (the action of CEConv,
    https://arxiv.org/abs/2310.19368, without its clipping).

    Thirds of a turn permute the channels and are as exact as `channels`. Other angles mix them, with weights that add
    up to one, and are right up to rounding. The hue of HSV, which is an angle around a hexagon, nearly follows.
    """

    def angle(self, element: Tensor) -> Tensor:
        """In radians."""
        raise NotImplementedError

    def thirds(self, element: Tensor) -> tuple[Tensor, Tensor]:
        """The number of thirds of a turn of each element, and whether it is exactly that many (bool)."""
        raise NotImplementedError

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        element = element.to(x.device)
        return self._turn(x, self.angle(element), *self.thirds(element))

    def _turn(self, x: Tensor, angle: Tensor, thirds: Tensor, exact: Tensor) -> Tensor:
        normalization = self.normalization(x)
        # A channel of the result is the one that lies so many thirds before it.
        source = (torch.arange(3, device=x.device) - thirds[:, None]) % 3
        if self.is_exact:
            return permute_channels(x, source, *normalization)
        if torch.compiler.is_compiling():  # no branch on values, at the price of doing both
            permuted = permute_channels(x, source, *normalization)
            return torch.where(exact.view(-1, 1, 1, 1), permuted, mix_channels(x, angle, *normalization))
        if bool(exact.all()):
            return permute_channels(x, source, *normalization)
        transformed = mix_channels(x, angle, *normalization)
        if bool(exact.any()):
            transformed[exact] = permute_channels(x[exact], source[exact], *normalization)
        return transformed

    def moment(self, x: Tensor) -> Tensor:
        """The mean chroma of each image, a vector that turns by the angle of the element, `(batch, 2)`.

        Red is (1, 0), green and blue follow at 120 and 240 degrees, and grey is (0, 0).

        Example:
            >>> from hf_canon import get_group
            >>> red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
            >>> get_group("hue4").moment(get_group("hue4").act(red, torch.tensor([1]))).round(decimals=4).abs()
            tensor([[0., 1.]])
        """
        red, green, blue = self.mean_color(x).unbind(1)
        return torch.stack([red - (green + blue) / 2, math.sqrt(0.75) * (green - blue)], -1)


class FiniteHue(Hue):
    """`hue<n>`: turns of the hue by multiples of 360/n degrees.

    Example:
        >>> from hf_canon import get_group
        >>> hue12 = get_group("hue12")
        >>> hue12.describe(5), hue12.exact_elements.tolist()
        ('hue 150°', [0, 4, 8])
    """

    def __init__(self, n: int):
        self.n = self.order = n
        self.name = f"hue{n}"
        self.meaning = f"turns of the hue by multiples of {360 / n:g}\N{DEGREE SIGN}"

    @property
    def cell(self) -> float:
        """Angle between neighbouring elements, radians."""
        return 2 * math.pi / self.n

    @property
    def exact_elements(self) -> Tensor:
        return torch.tensor([element for element in range(self.n) if 3 * element % self.n == 0])

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b) % self.n

    def inverse(self, element: Tensor) -> Tensor:
        return -element % self.n

    def angle(self, element: Tensor) -> Tensor:
        return element * self.cell

    def thirds(self, element: Tensor) -> tuple[Tensor, Tensor]:
        thirds_times_n = 3 * element
        return thirds_times_n // self.n, thirds_times_n % self.n == 0

    def describe(self, element: int | float) -> str:
        return f"hue {360 * int(element) / self.n:g}\N{DEGREE SIGN}"

    def random_act(
        self, x: Tensor, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each image transformed by a random element and, unless the group is exact, turned a little further."""
        if self.is_exact:
            return super().random_act(x, generator)
        self.check_shape(x.shape)
        element = self.sample(len(x), generator).to(x.device)
        offset = (torch.rand(len(x), generator=generator) - 0.5).to(x.device)
        transformed = mix_channels(x, self.angle(element) + offset * self.cell, *self.normalization(x))
        return transformed, element, offset


class HueCircle(Hue, OneParameter):
    """`hue`: every turn of the hue; an element is an angle in radians.

    Example:
        >>> from hf_canon import get_group
        >>> red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
        >>> get_group("hue").act(red, torch.tensor([2 * math.pi / 3])).flatten()
        tensor([0., 1., 0.])
    """

    name = "hue"
    meaning = "turns of the hue by any angle"
    period = 2 * math.pi
    reach = math.pi
    tolerance = math.pi / 8

    @property
    def exact_elements(self) -> Tensor:
        return torch.arange(3) * (2 * math.pi / 3)

    def angle(self, element: Tensor) -> Tensor:
        return element

    def thirds(self, element: Tensor) -> tuple[Tensor, Tensor]:
        turns = element / (2 * math.pi / 3)
        nearest = turns.round()
        return nearest.long() % 3, (turns - nearest).abs() < 1e-6

    def describe(self, element: int | float) -> str:
        return f"hue {math.degrees(element):.1f}\N{DEGREE SIGN}"


class WhiteBalance(Color, OneParameter):
    """`white_balance`: von Kries gains along one line, from cold to warm light; an element is a number of stops t.

    Red becomes R * 2^t, green stays, and blue becomes B * 2^-t: a gain for each channel of the encoded values, as a
    camera's or a photo program's temperature slider has it, nearly; no adaptation in cone space. Whatever leaves
    [0, 1] stays there, as it has to for the gains to be undone.

    Example:
        >>> from hf_canon import get_group
        >>> grey = torch.full((1, 3, 1, 1), 0.5)
        >>> get_group("white_balance").act(grey, torch.tensor([1.0])).flatten()
        tensor([1.0000, 0.5000, 0.2500])
    """

    name = "white_balance"
    meaning = "warmer and colder light, in stops"
    period = None
    reach = 1.0
    tolerance = 0.125

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        stops = element.to(x.device)[:, None] * torch.tensor([1.0, 0.0, -1.0], device=x.device)
        gain = stops.exp2()
        return affine(x, gain, per_channel(self.normalization(x)[1], x.device) * (1 - gain))

    def moment(self, x: Tensor) -> Tensor:
        """How warm each image is on average, in stops, `(batch,)`: an element adds itself. It is 0 in a grey world.

        A channel that is black on average, or darker, counts as a millionth.

        Example:
            >>> from hf_canon import get_group
            >>> group, x = get_group("white_balance"), torch.rand(1, 3, 8, 8)
            >>> (group.moment(group.act(x, torch.tensor([0.5]))) - group.moment(x)).round(decimals=4)
            tensor([0.5000])
        """
        red, _, blue = self.mean_color(x).clamp(min=1e-6).log2().unbind(1)
        return (red - blue) / 2

    def describe(self, element: int | float) -> str:
        return f"{element:+.2f} stops warmer"


class Gamma(Color, OneParameter):
    """`gamma`: v to v^(2^t); an element is t, positive for darker.

    Black and white are fixed. Values above 1 follow the same formula and move up where those below move down. Values
    up to `FLOOR`, negative ones among them, stay as they are: a power of them is none, or has no finite gradient.

    Example:
        >>> from hf_canon import get_group
        >>> get_group("gamma").act(torch.full((1, 3, 1, 1), 0.5), torch.tensor([1.0])).flatten()
        tensor([0.2500, 0.2500, 0.2500])
    """

    FLOOR = 1e-6

    name = "gamma"
    meaning = "darker and brighter middle tones, as powers"
    grey = True
    period = None
    reach = 1.0
    tolerance = 0.125

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        element = element.to(x.device).view(-1, 1, 1, 1)
        scale, offset = (per_channel(one, x.device)[:, None, None] for one in self.normalization(x))
        v = self.unnormalized(x)
        power = v.clamp(min=self.FLOOR) ** element.exp2()
        transformed = narrowed(torch.addcmul(offset.to(v.dtype), power.to(v.dtype), scale.to(v.dtype)), x.dtype)
        return torch.where(v > torch.where(element == 0, math.inf, self.FLOOR), transformed, x)

    def moment(self, x: Tensor) -> Tensor:
        """How dark each image's middle tones are, `(batch,)`: an element adds itself.

        The mean of log2(-log2 v), over all values but black and white ones, which no element moves; 0 where there are
        no others.

        Example:
            >>> from hf_canon import get_group
            >>> group, x = get_group("gamma"), torch.rand(1, 3, 8, 8)
            >>> (group.moment(group.act(x, torch.tensor([0.5]))) - group.moment(x)).round(decimals=4)
            tensor([0.5000])
        """
        v = self.unnormalized(x).flatten(1)
        inside = (v > self.FLOOR) & (v < 1 - self.FLOOR)
        tones = torch.where(inside, v, 0.5)  # 0 in the sum
        return (-tones.log2()).log2().sum(1) / inside.sum(1).clamp(min=1)

    def describe(self, element: int | float) -> str:
        return f"gamma {2**element:.3f}"


ORDERS = tuple(permutations(range(3)))
"""Where each channel of the result comes from; sorted, so that the first is the identity."""


@constant
def channel_orders(device: torch.device) -> Tensor:
    return torch.tensor(ORDERS, device=device)


def index_of_order(order: Tensor) -> Tensor:
    """The row of `ORDERS` that each one is; `(..., 3)` to `(...)`."""
    return 2 * order[..., 0] + (order[..., 1] > order[..., 2]).long()


@constant
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)


def widened(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def narrowed(x: Tensor, dtype: torch.dtype) -> Tensor:
    if not dtype.is_floating_point:
        bounds = torch.iinfo(dtype)
        x = x.round().clamp(bounds.min, bounds.max)
    return x.to(dtype)


def affine(x: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """`x * factor + offset`, these two for each channel of each image, `(batch, channels)`."""
    wide = widened(x)
    offset = torch.where(offset == 0, -0.0, offset)  # which, unlike 0.0, can be added to -0.0 and leave it
    factor, offset = (one.to(wide.dtype)[..., None, None] for one in (factor, offset))
    return narrowed(torch.addcmul(offset, wide, factor), x.dtype)


def permute_channels(x: Tensor, source: Tensor, scale: tuple[float, ...], offset: tuple[float, ...]) -> Tensor:
    """Each channel replaced by the one at `source`, `(batch, 3)`, and normalised as what it now is."""
    rows = source + 3 * torch.arange(len(x), device=x.device)[:, None]
    transformed = x.flatten(0, 1).index_select(0, rows.flatten()).view(x.shape)
    if len(set(scale)) == len(set(offset)) == 1:
        return transformed
    scales, offsets = per_channel(scale, x.device), per_channel(offset, x.device)
    factor = scales / scales[source]
    return affine(transformed, factor, offsets - offsets[source] * factor)


def mix_channels(x: Tensor, angle: Tensor, scale: tuple[float, ...], offset: tuple[float, ...]) -> Tensor:
    """RGB turned about its grey axis by `angle` (radians, `(batch,)`), in one product of matrices."""
    wide = widened(x)
    channel = torch.arange(3, device=x.device)
    before = (channel[:, None] - channel) % 3  # how many thirds of a turn one channel lies before another
    angle = angle.to(wide.dtype).view(-1, 1, 1)
    weight = (1 + 2 * torch.cos(angle - before * (2 * math.pi / 3))) / 3
    scales, offsets = per_channel(scale, x.device).to(wide.dtype), per_channel(offset, x.device).to(wide.dtype)
    matrix = weight * scales[:, None] / scales
    constant = offsets - (matrix * offsets).sum(-1)
    with torch.autocast(x.device.type, enabled=False):  # half precision would show
        mixed = torch.baddbmm(constant.unsqueeze(-1), matrix, wide.flatten(2)).view(x.shape)
    return narrowed(mixed, x.dtype)
