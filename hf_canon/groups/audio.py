"""What happens to audio: `reverse`, `polarity`, `time_shift<n>`, `gain`, `speed<n>` and `pitch<n>`.

Positive means louder, later, faster, higher. With `lengths`, an action takes place inside each clip, as if it were
alone in its batch, and padding stays behind it.
"""

import math
from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import Group, OneParameter
from .kinds import Kind, Spectrograms, Waveforms
from .resampling import interpolate, resample, shift_pitch

WIDEST = 48


class Audio(Group):
    """A group that acts on audio."""

    acts_on: tuple[type[Kind], ...] = (Waveforms, Spectrograms)
    kind: Waveforms | Spectrograms = Waveforms()

    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        if isinstance(self.kind, Waveforms):
            if len(shape) != 2:
                raise ValueError(
                    f"{self.name} acts on waveforms (batch, samples), and this input is {tuple(shape)}. Give a single "
                    "clip a batch dimension of one, and mix channels into one."
                )
            return
        axis, bins = self.kind.frequency_axis, len(self.kind.frequencies)
        if len(shape) < 3 or shape[axis] != bins:
            wanted = "(batch, ..., frames, bins)" if axis == -1 else "(batch, ..., bins, frames)"
            raise ValueError(
                f"{self.name} acts on spectrograms {wanted} with {bins} bins, and this input is {tuple(shape)}. Use "
                "the checkpoint's own feature extractor."
            )

    @property
    def time_axis(self) -> int:
        return self.kind.time_axis

    def inside(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Where there is sound and no padding; bool, of a shape that fits `x`."""
        size = x.shape[self.time_axis]
        lengths = torch.full((len(x),), size, device=x.device) if lengths is None else lengths.to(x.device)
        moments = torch.arange(size, device=x.device)
        if self.time_axis == -2:
            moments = moments.unsqueeze(1)
        return moments < lengths.view(-1, *[1] * (x.ndim - 1))

    def power(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Mean power of each waveform, `(batch,)`."""
        inside = self.inside(x, lengths)
        return (x * inside).square().sum(1) / inside.sum(1)


class Cyclic(Group):
    """Elements count steps, and `order` steps are none. Every one acts without rounding."""

    order: int

    @property
    def exact_elements(self) -> Tensor:
        return self.elements

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b) % self.order

    def inverse(self, element: Tensor) -> Tensor:
        return -element % self.order


class Temporal(Audio):
    """A group that transforms the moments of an audio clip."""

    @property
    def temporal(self) -> "Temporal":
        return self


class Permutation(Temporal, Cyclic):
    """A temporal group that only changes the order of samples, or of frames."""

    @abstractmethod
    def source(self, moment: Tensor, length: Tensor, element: Tensor) -> Tensor:
        """Where each moment inside an audio clip comes from. Shapes broadcast."""

    def check_length(self, size: int, lengths: Tensor | None, what: str) -> None:
        """Raise ValueError where clips of such lengths cannot be permuted."""
        return

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        what = "samples" if isinstance(self.kind, Waveforms) else "frames"
        return self._permute(x.movedim(self.time_axis, 1), element, lengths, what).movedim(1, self.time_axis)

    def act_frames(
        self, frames: Tensor, element: Tensor, lengths: Tensor | None = None, count: Tensor | int | None = None
    ) -> Tensor:
        return self._permute(frames, element, lengths, "frames")

    def _permute(self, x: Tensor, element: Tensor, lengths: Tensor | None, what: str) -> Tensor:
        size = x.shape[1]
        self.check_length(size, lengths, what)
        moment = torch.arange(size, device=x.device)
        length = torch.full_like(element, size) if lengths is None else lengths
        length, element = length.to(x.device).unsqueeze(1), element.to(x.device).unsqueeze(1)
        source = torch.where(moment < length, self.source(moment, length, element), moment)
        return x[torch.arange(len(x), device=x.device).unsqueeze(1), source]


class Reverse(Permutation):
    """`reverse`: the audio backwards.

    Example:
        >>> from hf_canon import get_group
        >>> x = torch.tensor([[1.0, 2.0, 3.0, 0.0]])
        >>> get_group("reverse").act(x, torch.tensor([1]), lengths=torch.tensor([3]))
        tensor([[3., 2., 1., 0.]])
    """

    name = "reverse"
    meaning = "audio played backwards"
    order = 2

    def source(self, moment: Tensor, length: Tensor, element: Tensor) -> Tensor:
        return torch.where(element == 1, length - 1 - moment, moment)

    def describe(self, element: int | float) -> str:
        return "backwards" if element else "forwards"


class TimeShift(Permutation):
    """`time_shift<n>`: element k comes k nth parts of its length later, and what leaves at the end enters at the
    beginning.

    Example:
        >>> from hf_canon import get_group
        >>> get_group("time_shift4").act(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), torch.tensor([1]))
        tensor([[4., 1., 2., 3.]])
    """

    def __init__(self, n: int):
        self.order = n
        self.name = f"time_shift{n}"
        self.meaning = f"audio shifted around by multiples of 1/{n} of its length"

    def check_length(self, size: int, lengths: Tensor | None, what: str) -> None:
        if lengths is not None and torch.compiler.is_compiling():
            return
        for length in (size,) if lengths is None else lengths.tolist():
            if length % self.order:
                shorter = length - length % self.order
                raise ValueError(
                    f"{self.name} shifts by 1/{self.order} of an audio clip, and this one has {length} {what}, which "
                    f"{self.order} does not divide. Pad it to {shorter + self.order}"
                    + (f" or crop it to {shorter}." if shorter else ".")
                )

    def source(self, moment: Tensor, length: Tensor, element: Tensor) -> Tensor:
        return (moment - element * (length // self.order)) % length.clamp(min=1)

    def describe(self, element: int | float) -> str:
        return f"{element}/{self.order} later"


class Polarity(Audio, Cyclic):
    """`polarity`: the sign of a waveform. A power spectrogram is the same for both, so it acts on waveforms only."""

    name = "polarity"
    meaning = "the sign of a waveform, which a power spectrogram does not show"
    acts_on = (Waveforms,)
    order = 2

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        return torch.where(element.to(x.device).unsqueeze(1) == 1, -x, x)

    def describe(self, element: int | float) -> str:
        return "negated" if element else "as it is"

    def moment(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Skewness about zero, `(batch,)`: its sign changes with that of the audio; 0 for silence."""
        x = x.float() if x.dtype != torch.double else x
        inside = self.inside(x, lengths)
        power = self.power(x, lengths).clamp(min=torch.finfo(x.dtype).tiny)
        # Divided first: the cube of a faint audio would vanish.
        return (x * inside / power.sqrt().unsqueeze(1)).pow(3).sum(1) / inside.sum(1)


class Gain(Audio, OneParameter):
    """`gain`: loudness; an element is in decibels.

    Example:
        >>> from hf_canon import get_group
        >>> get_group("gain").act(torch.tensor([[0.5, -0.1]]), torch.tensor([20.0]))
        tensor([[ 5., -1.]])
    """

    name = "gain"
    meaning = "loudness, in decibels"
    period = None
    reach = 20.0
    tolerance = 1.0

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        louder = element.to(x.device, torch.double).view(-1, *[1] * (x.ndim - 1))
        work = torch.promote_types(x.dtype, torch.float32)
        if isinstance(self.kind, Waveforms):
            return (x.to(work) * (10 ** (louder / 20)).to(work)).to(x.dtype)
        transformed = (x.to(work) + (louder * self.kind.decibel).to(work)).to(x.dtype)
        return torch.where(self.inside(x, lengths), transformed, x)

    def describe(self, element: int | float) -> str:
        return f"{element:+.2f} dB"

    def moment(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Level in decibels, `(batch,)`: of a waveform, root mean square; of a spectrogram, the mean over its values.

        `moment(act(x, t)) == moment(x) + t`, except for silence, which has the level of the least number.
        """
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if isinstance(self.kind, Waveforms):
            return 10 * self.power(x, lengths).clamp(min=torch.finfo(x.dtype).tiny).log10()
        inside = self.inside(x, lengths).expand_as(x)
        return x.where(inside, 0).flatten(1).sum(1) / inside.flatten(1).sum(1) / self.kind.decibel


class Transposition(Audio, OneParameter):
    """What `speed<n>` and `pitch<n>` share: an element is in semitones, of which twelve double every frequency."""

    n: int
    period = None
    tolerance = 0.5

    def __init__(self, n: int):
        if n > WIDEST:
            raise ValueError(
                f"{type(self).__name__.lower()}{n} reaches {n} semitones, a factor of 2 ** {n / 12:.3g}, at which "
                f"nothing of an audio clip is left. Use {WIDEST} or fewer."
            )
        self.n = n
        self.reach = float(n)

    def ratio(self, element: Tensor) -> Tensor:
        """By how much frequencies rise, `(batch,)`, float64."""
        return 2 ** (element.double() / 12)

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        self.check_shape(x.shape)
        element = element.to(x.device)
        if not bool(element.any()):
            return x
        work = x.to(torch.promote_types(x.dtype, torch.float32))
        if isinstance(self.kind, Waveforms):
            lengths = torch.full_like(element, x.shape[1]) if lengths is None else lengths.to(x.device)
            transformed = self.act_waveforms(work * self.inside(x, lengths), element, lengths)
            return unmoved_kept(transformed.to(x.dtype), x, element, 1)
        with torch.autocast(x.device.type, enabled=False):
            transformed = self.act_spectrograms(work, element, lengths, self.kind)
        return unmoved_kept(transformed.to(x.dtype), x, element, self.time_axis)

    @abstractmethod
    def act_waveforms(self, x: Tensor, element: Tensor, lengths: Tensor) -> Tensor:
        """`act`, on waveforms `(batch, samples)` that are zero beyond their lengths."""

    def act_spectrograms(self, x: Tensor, element: Tensor, lengths: Tensor | None, kind: Spectrograms) -> Tensor:
        """`act`, on spectrograms: what was found at f is transformed to `ratio * f`. Where nothing was known about a
        frequency, the result fades to the audio's least value."""
        inside = self.inside(x, lengths)
        floor = x.masked_fill(~inside, math.inf).flatten(1).amin(1).view(-1, 1, *[1] * (x.ndim - 2))
        transformed = x.movedim(kind.frequency_axis, 1)
        low, *_, high = kind.frequencies
        known = torch.tensor(kind.frequencies, dtype=torch.double, device=x.device)
        wanted = known / self.ratio(element).unsqueeze(1)
        after = torch.searchsorted(known, wanted).clamp(1, len(known) - 1)
        position = after - 1 + (wanted - known[after - 1]) / (known[after] - known[after - 1])
        transformed = interpolate_above(transformed, position, floor).movedim(1, kind.frequency_axis)
        return torch.where(inside, transformed, x)

    def describe(self, element: int | float) -> str:
        return f"{element:+.2f} semitones"


class Speed(Transposition, Temporal):
    """`speed<n>`: playback at `2 ** (t / 12)` times the rate, as of a tape or at a wrong sampling rate.

    Pitch and tempo change together, and a waveform its length (`transformed_lengths`). A spectrogram is warped along
    both axes and keeps its number of frames: what no longer fits is cropped, and where the audio has ended is its
    least value.

    Example:
        >>> from hf_canon import get_group
        >>> get_group("speed12").act(torch.randn(1, 1000), torch.tensor([12.0])).shape
        torch.Size([1, 500])
    """

    def __init__(self, n: int):
        super().__init__(n)
        self.name = f"speed{n}"
        self.meaning = f"playback up to {n} semitones slower or faster"

    def transformed_lengths(self, lengths: Tensor, element: Tensor, transformed: Tensor | None = None) -> Tensor:
        stretched = (lengths.double() / self.ratio(element.to(lengths.device))).round().long().clamp(min=1)
        return stretched if transformed is None else stretched.clamp(max=transformed.shape[self.time_axis])

    def act_waveforms(self, x: Tensor, element: Tensor, lengths: Tensor) -> Tensor:
        transformed_lengths = self.transformed_lengths(lengths, element)
        transformed = resample(x, self.ratio(element), int(transformed_lengths.max()))
        return transformed * self.inside(transformed, transformed_lengths)

    def act_spectrograms(self, x: Tensor, element: Tensor, lengths: Tensor | None, kind: Spectrograms) -> Tensor:
        inside = self.inside(x, lengths)
        floor = x.masked_fill(~inside, math.inf).flatten(1).amin(1).view(-1, *[1] * (x.ndim - 1))
        warped = super().act_spectrograms(x, element, lengths, kind)
        frames = x.shape[self.time_axis]
        ends = torch.full_like(element, frames) if lengths is None else lengths.to(x.device)
        transformed_ends = self.transformed_lengths(ends, element)
        position = self._moments(frames, element)
        transformed = interpolate_above(torch.where(inside, warped, floor).movedim(self.time_axis, 1), position, floor)
        transformed = transformed.movedim(1, self.time_axis)
        transformed = torch.where(self.inside(x, transformed_ends), transformed, floor)
        return torch.where(self.inside(x, torch.maximum(ends, transformed_ends)), transformed, x)

    def act_frames(
        self, frames: Tensor, element: Tensor, lengths: Tensor | None = None, count: Tensor | int | None = None
    ) -> Tensor:
        element = element.to(frames.device)
        lengths = torch.full_like(element, frames.shape[1]) if lengths is None else lengths.to(frames.device)
        size = int(self.transformed_lengths(lengths, element).max() if count is None else count)
        # Each clip alone: what comes after it repeats its last frame.
        position = torch.minimum(self._moments(size, element), (lengths.double() - 1).clamp(min=0).unsqueeze(1))
        work = frames.to(torch.promote_types(frames.dtype, torch.float32)) if frames.is_floating_point() else frames
        return unmoved_kept(interpolate(work, position).to(frames.dtype), frames, element, 1)

    def _moments(self, count: int, element: Tensor) -> Tensor:
        """Where each frame of the result comes from, in frames, `(batch, count)`: a frame stands for its middle."""
        middle = torch.arange(count, device=element.device) + 0.5
        return middle * self.ratio(element).unsqueeze(1) - 0.5


class Pitch(Transposition):
    """`pitch<n>`: every frequency times `2 ** (t / 12)`, at the same tempo and length.

    A waveform is stretched by a phase vocoder and then read at another speed, which is approximate where an audio clip
    changes quickly. A spectrogram is warped along its frequencies, as in vocal tract length normalization.
    """

    def __init__(self, n: int):
        super().__init__(n)
        self.name = f"pitch{n}"
        self.meaning = f"pitch up to {n} semitones lower or higher"

    def act_waveforms(self, x: Tensor, element: Tensor, lengths: Tensor) -> Tensor:
        assert isinstance(self.kind, Waveforms)
        window = 1 << round(math.log2(0.064 * self.kind.sampling_rate))
        transformed = shift_pitch(x, self.ratio(element), window)
        return transformed * self.inside(x, lengths)


def interpolate_above(x: Tensor, position: Tensor, floor: Tensor) -> Tensor:
    """`interpolate`, fading to `floor`, which has the shape of `x` or ones, beyond either end."""
    floor = floor.expand(len(x), 1, *x.shape[2:])
    return interpolate(torch.cat([floor, x, floor], 1), position + 1)


def unmoved_kept(transformed: Tensor, x: Tensor, element: Tensor, axis: int) -> Tensor:
    """The batch with its unmoved members (element 0) as they were, to the bit, padded or cropped to the new size."""
    missing = transformed.shape[axis] - x.shape[axis]
    if missing > 0:
        x = F.pad(x.movedim(axis, -1), (0, missing)).movedim(-1, axis)
    still = (element == 0).view(-1, *[1] * (x.ndim - 1))
    return torch.where(still, x.narrow(axis, 0, transformed.shape[axis]), transformed)
