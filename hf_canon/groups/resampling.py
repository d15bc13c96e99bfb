"""Audio read at other moments: band-limited resampling, and a shift of pitch that keeps the tempo."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .constants import constant

TAPS = 6
SHARPNESS = 2.3 * TAPS
ROLLOFF = 0.94
# Samples of silence beyond an audio clip, for each unit of ratio, into which the response of the low pass runs out.
MARGIN = 256
# Samples worked on at a time, which bounds memory and stays in a processor's cache.
BLOCK = 1 << 16
# Frequencies that a steady tone occupies in a frame, through its window.
PEAK = 5


def resample(x: Tensor, ratio: Tensor, size: int) -> Tensor:
    """Read each clip at `j * ratio`, for j from 0 to `size - 1`, as if it were continuous; silence surrounds it.

    Each row has its own ratio, which need not be rational. A spectrum padded to twice the rate, divided by that of a
    short kernel, is interpolated by that kernel (a non-uniform Fourier transform; Barnett, Magland and af Klinteberg
    2019, https://arxiv.org/abs/1808.06736, whose kernel errs by about 1e-5). What lies above the Nyquist frequency of
    the slower of the two rates is filtered out: frequencies are kept up to 0.94 of it.

    Args:
        x: `(batch, samples)`, float32 or float64.
        ratio: `(batch,)`, input samples per output sample; above 1 the audio becomes faster and higher.
        size: samples of the result.

    Returns:
        `(batch, size)`. Beyond an audio clip's own end, `samples / ratio`, it is not defined.
    """
    ratio = ratio.double().unsqueeze(1)
    widest = max(1.0, float(ratio.detach().max()))
    n = fast_size(x.shape[1] + math.ceil(MARGIN * widest))
    frequency = torch.linspace(0, 1, n // 2 + 1, device=x.device, dtype=x.dtype)  # as a share of Nyquist
    excess = (frequency * ratio.clamp(min=1).to(x.dtype) - ROLLOFF) / (1 - ROLLOFF)
    response = (excess.clamp(0, 1) * (math.pi / 2)).cos().square() / kernel_spectrum(n // 2 + 1, x.device).to(x.dtype)
    fine = torch.fft.irfft(torch.fft.rfft(x, n) * response, 2 * n) * 2
    # What is read around the first sample is silence at the end; so that no index has to wrap, both are repeated.
    fine = torch.cat([fine[:, -TAPS // 2 + 1 :], fine, fine[:, :TAPS]], 1)
    blocks = []
    for moments in torch.arange(size, device=x.device).split(max(1, BLOCK // len(x))):
        position = 2 * ratio * moments  # float64: single precision could not hold a moment late in an audio clip
        before = position.floor()
        share = (position - before).to(x.dtype)
        first = before.long().clamp(max=2 * n)
        block = torch.zeros_like(share)
        for tap in range(TAPS):
            weight = kernel(share + (TAPS // 2 - 1 - tap))
            block = torch.addcmul(block, weight, fine[:, tap:].gather(1, first))
        blocks.append(block)
    return torch.cat(blocks, 1)


def kernel(distance: Tensor) -> Tensor:
    """The exponential of a semicircle, TAPS samples wide."""
    height = (1 - (distance / (TAPS / 2)).square()).clamp(min=1e-12).sqrt()  # which is steeper than any number at 0
    return (SHARPNESS * (height - 1)).exp()


@constant
def kernel_spectrum(size: int, device: torch.device) -> Tensor:
    """Of `kernel`, at `size` frequencies from 0 to a quarter of the fine rate, by the trapezium rule. `(size,)`."""
    moments = torch.linspace(-TAPS / 2, TAPS / 2, 129, dtype=torch.double)[1:-1]
    spectrum = torch.zeros(size, dtype=torch.double)
    frequency = torch.linspace(0, 0.25, size, dtype=torch.double)
    for moment, weight in zip(moments, kernel(moments) * (TAPS / 128), strict=True):
        spectrum += weight * (2 * math.pi * moment * frequency).cos()
    return spectrum.to(device)


def fast_size(n: int) -> int:
    """The next size with small factors only, at most a fifth larger, for a Fourier transform."""
    return min(m << max(0, math.ceil(math.log2(n / m))) for m in (2, 3, 5, 9, 15, 27))


def shift_pitch(x: Tensor, ratio: Tensor, window: int) -> Tensor:
    """Multiply every frequency by `ratio` and keep the tempo: `stretch`, which has these arguments, and `resample`."""
    # On a processor what belongs to one clip fits a cache; elsewhere one large step is quicker than many small ones.
    rows = 1 if x.device.type == "cpu" else len(x)
    some = zip(x.split(rows), ratio.split(rows), strict=True)
    return torch.cat([resample(stretch(one, by, window), by, x.shape[1]) for one, by in some])


def stretch(x: Tensor, ratio: Tensor, window: int) -> Tensor:
    """Make each clip `ratio` times as long at the same pitch, by a phase vocoder.

    Each row has its own ratio. A frame of the result lies between two frames of the audio, `window / 4` samples apart,
    and takes from them its magnitudes and how far phases turn from one to the next. Neighbouring frequencies turn
    together, weighted by their magnitude (Puckette 1995, "Phase-locked vocoder"). Gradients hold phases fixed, which
    keeps them bounded where a frequency is silent.

    Args:
        x: `(batch, samples)`, float32 or float64.
        ratio: `(batch,)`.
        window: samples of a frame, several periods of the lowest pitch; a multiple of 4.

    Returns:
        `(batch, at least samples * the largest ratio)`.
    """
    hop = window // 4
    hann = torch.hann_window(window, device=x.device, dtype=x.dtype)
    # Every frame that reaches into the audio is there, whether or not padding follows; two of silence come after them.
    x = F.pad(x, (0, window))
    size = math.ceil(x.shape[1] * float(ratio.detach().max()))
    frames = torch.stft(x, window, hop, window=hann, pad_mode="constant", return_complex=True).transpose(1, 2)
    position = torch.arange(size // hop + 2, device=x.device) / ratio.double().unsqueeze(1)
    position = position.clamp(max=frames.shape[1] - 2)
    before = position.long()
    share = (position - before).to(x.dtype).unsqueeze(2)
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    magnitude = frames.abs()
    magnitude = torch.lerp(magnitude[rows, before], magnitude[rows, before + 1], share)
    phase = frames.detach().sgn()
    phase = torch.where(phase == 0, 1, phase)
    phase, after = phase[rows, before], phase[rows, before + 1]
    # A frame whose predecessor would end elsewhere in its period is turned so as to continue it.
    turn = torch.cat([torch.ones_like(phase[:, :1]), after[:, :-1] * phase[:, 1:].conj()], 1).cumprod(1)
    with torch.no_grad():  # what belongs to one peak turns as the peak does
        weighted = F.pad(torch.view_as_real(turn) * magnitude.unsqueeze(3), (0, 0, PEAK // 2, PEAK // 2))
        around = weighted.unfold(2, PEAK, 1).unbind(-1)
        phase = phase * torch.view_as_complex(sum(around[1:], around[0]))
        real, imaginary = torch.view_as_real(phase).unbind(-1)
        length = (real.square() + imaginary.square()).clamp(min=torch.finfo(x.dtype).tiny).sqrt()
    spectrum = torch.view_as_complex((magnitude / length).unsqueeze(3) * torch.view_as_real(phase))
    return torch.istft(spectrum.transpose(1, 2), window, hop, window=hann, length=size)


def interpolate(x: Tensor, position: Tensor) -> Tensor:
    """Read each item between its entries along the first axis after the batch, linearly.

    Args:
        x: `(batch, n, ...)`.
        position: `(batch, m)`, float64; those before 0 or after `n - 1` read the ends.

    Returns:
        `(batch, m, ...)`. Numbers that are not floating point are taken from the nearest entry.
    """
    last = x.shape[1] - 1
    rows = torch.arange(len(x), device=x.device).unsqueeze(1)
    if not x.is_floating_point():
        return x[rows, position.round().long().clamp(0, last)]
    position = position.clamp(0, last)
    before = position.long()
    share = (position - before).to(x.dtype).view(*position.shape, *[1] * (x.ndim - 2))
    return torch.lerp(x[rows, before], x[rows, (before + 1).clamp(max=last)], share)
