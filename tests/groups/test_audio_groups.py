"""Groups on audio: the common suite, and each against tones whose transposition is known."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor

from hf_canon import get_group
from hf_canon.groups import Group, Images, OneParameter, Spectrograms, Temporal, Waveforms

RATE = 16_000
EXACT = ["reverse", "polarity", "time_shift1", "time_shift3", "time_shift4"]
GROUPS = [*EXACT, "gain", "speed12", "speed24", "pitch12"]
# Unevenly spaced, as mel bins are.
FREQUENCIES = tuple(float(f) for f in np.geomspace(80, 6000, 40) + np.linspace(0, 1000, 40))
SPECTROGRAMS = {
    "bins last": (Spectrograms(FREQUENCIES, -1, 100.0, 0.23), (24, 40)),
    "frames last": (Spectrograms(FREQUENCIES, -2, 100.0, 0.1), (40, 24)),
    "with a channel": (Spectrograms(FREQUENCIES, -1, 100.0, 1.0), (1, 24, 40)),
}
KINDS = {"waveforms": (Waveforms(RATE), (2400,)), **SPECTROGRAMS}
ON = [(name, kind) for name in GROUPS for kind in KINDS if not (name == "polarity" and kind != "waveforms")]


def bound(name: str, kind: str, batch: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Group, Tensor]:
    """A group on a kind of audio, and noise of that kind."""
    meant, shape = KINDS[kind]
    return get_group(name).on(meant), torch.randn(batch, *shape).to(dtype)


def some_elements(group: Group, n: int) -> Tensor:
    """Different ones; the identity is in the middle."""
    generator = torch.Generator().manual_seed(1)
    element = group.sample(n, generator)
    element[n // 2] = 0
    return element


def some_lengths(group: Group, x: Tensor, kind: str) -> Tensor:
    """Different ones, the longest fills the batch; 12 divides them all."""
    size = x.shape[group.time_axis]  # type: ignore[attr-defined]
    return 12 * (size // 12 * torch.linspace(0.5, 1, len(x))).long()


def tone(frequency: float, samples: int, partials: int = 1, highest: float = 7000.0) -> Tensor:
    moment = torch.arange(samples, dtype=torch.double) / RATE
    heard = [k for k in range(1, partials + 1) if k * frequency < highest]
    return torch.stack([(2 * math.pi * k * frequency * moment + k).sin() / k for k in heard]).sum(0)


def pitch_of(x: Tensor) -> float:
    """The strongest frequency in Hz, between the bins of a long, windowed Fourier transform."""
    power = torch.fft.rfft(x.double() * torch.hann_window(len(x), dtype=torch.double), 1 << 18).abs().log()
    peak = int(power.argmax())
    left, middle, right = power[peak - 1 : peak + 2].tolist()
    return (peak + (left - right) / (2 * (left - 2 * middle + right))) * RATE / (1 << 18)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def speech(samples: int, highest: float, seed: int = 0) -> Tensor:
    """Noise below a frequency whose loudness and colour change as those of syllables do."""
    generator = torch.Generator().manual_seed(seed)
    spectrum = torch.fft.rfft(torch.randn(samples, generator=generator, dtype=torch.double))
    frequency = torch.fft.rfftfreq(samples, 1 / RATE)
    colour = torch.exp(-frequency / 1500) * (frequency < highest)
    moment = torch.arange(samples, dtype=torch.double) / RATE
    return torch.fft.irfft(spectrum * colour, samples) * (2 * math.pi * 4 * moment).sin().square()


@pytest.mark.parametrize("name", GROUPS)
def test_axioms(name: str) -> None:
    group = get_group(name)
    elements = group.elements if group.finite else group.sample(12, torch.Generator().manual_seed(0)).double()
    a, b = (grid.flatten() for grid in torch.meshgrid(elements, elements, indexing="ij"))
    c, identity = a.flip(0), torch.zeros_like(a)
    for left, right in [
        (group.compose(a, identity), a),
        (group.compose(identity, a), a),
        (group.compose(a, group.inverse(a)), identity),
        (group.compose(a, group.compose(b, c)), group.compose(group.compose(a, b), c)),
    ]:
        assert torch.allclose(left.double(), right.double())
    assert get_group(name) == get_group(name) and get_group(name).name == name
    words = [group.describe(one) for one in elements.tolist()]
    assert len(set(words)) == len(words)
    if isinstance(group, OneParameter):
        assert group.grid(3).tolist() == [-group.reach, 0, group.reach] and group.tolerance < group.reach


@pytest.mark.parametrize(("name", "kind"), ON)
class TestAction:
    def test_the_identity_touches_nothing(self, name: str, kind: str) -> None:
        group, x = bound(name, kind)
        for lengths in (None, some_lengths(group, x, kind)):
            assert torch.equal(group.act(x, torch.full((3,), group.identity), lengths), x)
            transformed = group.act(x, some_elements(group, 3), lengths)
            size = min(transformed.shape[-1], x.shape[-1])
            assert torch.equal(transformed[1, ..., :size], x[1, ..., :size])

    @pytest.mark.covering("name", "kind", "dtype")
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_dtypes(self, name: str, kind: str, dtype: torch.dtype) -> None:
        group, x = bound(name, kind, dtype=dtype)
        transformed = group.act(x, some_elements(group, 3))
        expected = group.act(x.double(), some_elements(group, 3))
        assert transformed.dtype == dtype
        # Halves are computed in single precision and rounded once.
        torch.testing.assert_close(transformed, expected.to(dtype), rtol=torch.finfo(dtype).eps, atol=1e-3)

    def test_each_audio_as_if_it_were_alone(self, name: str, kind: str) -> None:
        """Padding does not matter, be it silence or not, and the others in the batch do not."""
        group, x = bound(name, kind, batch=4)
        element, lengths = some_elements(group, 4), some_lengths(group, x, kind)
        transformed, axis = group.act(x, element, lengths), group.time_axis  # type: ignore[attr-defined]
        transformed_lengths = group.transformed_lengths(lengths, element)
        for i, (length, after) in enumerate(zip(lengths.tolist(), transformed_lengths.tolist(), strict=True)):
            alone = group.act(x[i : i + 1].narrow(axis, 0, length), element[i : i + 1])[0]
            size = min(after, alone.shape[axis])
            inside = transformed[i].narrow(axis, 0, size)
            torch.testing.assert_close(inside, alone.narrow(axis, 0, size), rtol=1e-3, atol=2e-3)

    def test_padding_stays(self, name: str, kind: str) -> None:
        group, x = bound(name, kind)
        element, lengths = some_elements(group, 3), some_lengths(group, x, kind)
        padded = torch.where(group.inside(x, lengths), x, 0.0)  # type: ignore[attr-defined]
        transformed = group.act(padded, element, lengths)
        ends = torch.maximum(lengths, group.transformed_lengths(lengths, element))
        if kind == "waveforms":
            ends = group.transformed_lengths(lengths, element)
        assert not transformed[~group.inside(transformed, ends).expand_as(transformed)].any()  # type: ignore[attr-defined]

    def test_input_is_not_written_to(self, name: str, kind: str) -> None:
        group, x = bound(name, kind)
        element, before = some_elements(group, 3), x.clone()
        group.act(x, element)
        assert torch.equal(x, before) and torch.equal(element, some_elements(group, 3))

    def test_gradient(self, name: str, kind: str) -> None:
        """What an action does to an audio clip is linear but for floors and phases, which have no say in how loud it
        is:
        the derivative along the audio itself is the result, without the offset that a gain has."""
        group, x = bound(name, kind, dtype=torch.float64)
        element = some_elements(group, 3)
        x.requires_grad_(True)
        transformed = group.act(x, element)
        pull = torch.randn_like(transformed)
        (gradient,) = torch.autograd.grad(transformed, x, pull)
        offset = group.act(torch.zeros_like(x), element)
        torch.testing.assert_close((gradient * x).sum(), ((transformed - offset) * pull).sum())
        assert gradient.flatten(1).any(1).all()

    def test_orbit_and_random_act(self, name: str, kind: str) -> None:
        group, x = bound(name, kind, batch=2)
        lengths = some_lengths(group, x, kind)
        elements = some_elements(group, 3)
        orbit = group.orbit(x, elements, lengths)
        assert orbit.shape[:2] == (2, 3)
        every = group.act(x.repeat_interleave(3, 0), elements.repeat(2), lengths.repeat_interleave(3))
        assert torch.equal(orbit.flatten(0, 1), every)
        transformed, element, offset = group.random_act(x, torch.Generator().manual_seed(0), lengths)
        assert torch.equal(transformed, group.act(x, element, lengths)) and not offset.any()

    def test_every_device(self, name: str, kind: str, second_device: torch.device) -> None:
        group, x = bound(name, kind)
        transformed = group.act(x.to(second_device), some_elements(group, 3))
        assert transformed.device.type == second_device.type
        torch.testing.assert_close(transformed.cpu(), group.act(x, some_elements(group, 3)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", EXACT)
class TestExact:
    @given(data=st.data(), batch=st.integers(1, 3), padding=st.integers(0, 5), seed=st.integers(0, 2**16))
    @settings(max_examples=25, deadline=None)
    def test_bit_exact_for_every_pair(
        self, name: str, data: st.DataObject, batch: int, padding: int, seed: int
    ) -> None:
        group = get_group(name)
        lengths = 12 * torch.tensor(data.draw(st.lists(st.integers(1, 6), min_size=batch, max_size=batch)))
        x = torch.randn(batch, int(lengths.max()) + padding, generator=torch.Generator().manual_seed(seed))
        for a in group.elements:
            for b in group.elements:
                first, second = a.expand(batch), b.expand(batch)
                twice = group.act(group.act(x, first, lengths), second, lengths)
                assert torch.equal(twice, group.act(x, group.compose(second, first), lengths))
                if a != b:
                    assert not torch.equal(group.act(x, first, lengths), group.act(x, second, lengths))

    def test_compiles_without_graph_breaks(self, name: str) -> None:
        group, x = get_group(name), torch.randn(len(get_group(name).elements), 24)
        compiled = torch.compile(group.act, fullgraph=True, backend="eager")
        assert torch.equal(compiled(x, group.elements), group.act(x, group.elements))


class TestTemporal:
    @pytest.mark.parametrize("name", ["reverse", "time_shift3", "time_shift4"])
    def test_frames_move_with_the_audio(self, name: str) -> None:
        """The level of each stretch of the transformed audio is the transformed level, with and without padding."""
        group, hop = get_group(name), 10
        assert isinstance(group, Temporal)

        def levels(x: Tensor) -> Tensor:
            return x.unflatten(1, (-1, hop)).square().amax(2)

        x, frames = torch.randn(6, 36 * hop), torch.tensor([12, 36, 24, 36, 12, 24])
        element = group.sample(6, torch.Generator().manual_seed(0))
        assert group.temporal is group
        for lengths in (None, frames):
            transformed = group.act(x, element, None if lengths is None else hop * lengths)
            assert torch.equal(group.act_frames(levels(x), element, lengths), levels(transformed))

    def test_signs(self) -> None:
        x = torch.tensor([[1.0, 2.0, 3.0, 4.0, 9.0, 9.0]]).expand(2, -1)
        later = get_group("time_shift4").act(x, torch.tensor([1, 0]), torch.tensor([4, 4]))
        assert later.tolist() == [[4, 1, 2, 3, 9, 9], [1, 2, 3, 4, 9, 9]]
        backwards = get_group("reverse").act(x, torch.tensor([0, 1]), torch.tensor([4, 5]))
        assert backwards.tolist() == [[1, 2, 3, 4, 9, 9], [9, 4, 3, 2, 1, 9]]

    def test_frames_of_a_faster_audio(self) -> None:
        """Frames of a slowly changing quantity, against what it is at the moments that they stand for."""
        group = get_group("speed12")
        assert isinstance(group, Temporal)
        element, frames = torch.tensor([-12.0, -3.3, 0.0, 5.0, 12.0]), 60

        def quantity(moment: Tensor) -> Tensor:
            return torch.stack([(moment / 15).sin(), (moment / 9).cos()], -1)

        middle = torch.arange(frames) + 0.5
        found = quantity(middle).expand(5, -1, -1)
        lengths = group.transformed_lengths(torch.full((5,), frames), element)
        transformed = group.act_frames(found, element)
        assert transformed.shape == (5, int(lengths.max()), 2)
        for one, t, length in zip(transformed, element.tolist(), lengths.tolist(), strict=True):
            expected = quantity((torch.arange(length) + 0.5) * 2 ** (t / 12))
            # Half a frame at either end lies outside of what was found.
            assert (one[:length] - expected)[1:-1].abs().max() < 0.01
        assert group.act_frames(found, element, count=70).shape == (5, 70, 2)
        assert torch.equal(group.act_frames(found, element)[2, :frames], found[2])
        labels = torch.arange(frames).expand(5, -1)
        assert group.act_frames(labels, element)[4, :30].tolist() in ([*range(0, 60, 2)], [*range(1, 60, 2)])
        there_and_back = group.act_frames(transformed, group.inverse(element), lengths, frames)
        assert (there_and_back - found)[:, 2:-2].abs().max() < 0.05

    def test_what_n_does_not_divide_is_refused(self) -> None:
        group = get_group("time_shift4")
        assert isinstance(group, Temporal)
        with pytest.raises(ValueError, match="has 1001 samples, which 4 does not divide. Pad it to 1004"):
            group.act(torch.randn(1, 1001), torch.tensor([0]))
        with pytest.raises(ValueError, match="has 3 samples, which 4 does not divide. Pad it to 4."):
            group.act(torch.randn(2, 8), torch.tensor([0, 1]), torch.tensor([8, 3]))
        with pytest.raises(ValueError, match="has 49 frames"):
            group.act_frames(torch.randn(1, 49, 2), torch.tensor([1]))

    def test_what_does_not_move_moments_leaves_frames_as_they_are(self) -> None:
        frames = torch.rand(1, 9, 2)
        for name in ("polarity", "gain", "pitch12"):
            group = get_group(name)
            assert group.temporal is None and group.act_frames(frames, torch.ones(1)) is frames


class TestGain:
    @pytest.mark.parametrize("kind", KINDS)
    def test_adds_up_and_its_moment_with_it(self, kind: str) -> None:
        group, x = bound("gain", kind, batch=8, dtype=torch.float64)
        a, b = group.sample(8).double(), group.sample(8).double()
        lengths = some_lengths(group, x, kind)
        twice = group.act(group.act(x, a, lengths), b, lengths)
        torch.testing.assert_close(twice, group.act(x, group.compose(b, a), lengths))
        for some in (None, lengths):
            moment = group.moment(x, some)  # type: ignore[attr-defined]
            transformed = group.moment(group.act(x, a, some), some)  # type: ignore[attr-defined]
            torch.testing.assert_close(transformed, moment + a)

    def test_a_spectrogram_rises_as_that_of_the_louder_waveform(self) -> None:
        x, element = torch.randn(2, 4096, dtype=torch.double), torch.tensor([6.0, -11.0])

        def spectrogram(x: Tensor) -> Tensor:
            window = torch.hann_window(256, dtype=torch.double)
            return torch.stft(x, 256, window=window, return_complex=True).abs().square().log()

        kind = Spectrograms(tuple(torch.linspace(0, RATE / 2, 129).tolist()), -2, RATE / 64, math.log(10) / 10)
        louder = get_group("gain").on(kind).act(spectrogram(x), element)
        torch.testing.assert_close(louder, spectrogram(get_group("gain").act(x, element)))

    def test_silence(self) -> None:
        assert get_group("gain").moment(torch.zeros(1, 100)).isfinite().all()  # type: ignore[attr-defined]
        assert get_group("polarity").moment(torch.zeros(1, 100)).tolist() == [0.0]  # type: ignore[attr-defined]


@given(samples=st.integers(4, 200), seed=st.integers(0, 2**16), loudness=st.floats(-15, 15))
@settings(max_examples=25, deadline=None)
def test_the_moment_of_polarity_is_odd(samples: int, seed: int, loudness: float) -> None:
    group = get_group("polarity")
    x = 10**loudness * torch.randn(3, samples, generator=torch.Generator().manual_seed(seed))
    lengths, element = torch.tensor([samples, samples // 2, 2]), torch.tensor([1, 0, 1])
    moment: Callable[..., Tensor] = group.moment  # type: ignore[attr-defined]
    sign = torch.tensor([-1.0, 1.0, -1.0])
    assert torch.equal(moment(group.act(x, element, lengths), lengths), sign * moment(x, lengths))
    assert moment(x, lengths).all()


class TestSpeed:
    @pytest.mark.parametrize("semitones", [-24.0, -12.0, -7.31, -0.5, 0.01, 3.0, 9.7, 12.0, 24.0])
    def test_a_tone_becomes_the_transposed_tone(self, semitones: float) -> None:
        """Against the tone itself, sample by sample, to 2e-4 of its level. Ends, beyond which is silence, aside."""
        group, ratio = get_group("speed24"), 2 ** (semitones / 12)
        x = tone(300, 16_000, partials=20, highest=0.9 * 8000 / max(ratio, 1))
        transformed = group.act(x[None], torch.tensor([semitones]))[0]
        transformed_length = int(group.transformed_lengths(torch.tensor([16_000]), torch.tensor([semitones])))
        assert len(transformed) == round(16_000 / ratio) == transformed_length
        expected = tone(300 * ratio, len(transformed), partials=20, highest=0.9 * 8000 / max(ratio, 1) * ratio)
        inside = slice(300, -300)
        assert distance(transformed[inside], expected[inside]) < 2e-4

    def test_nothing_folds_back(self) -> None:
        """A tone that would be above the new Nyquist frequency is gone: 75 dB down."""
        transformed = get_group("speed12").act(tone(4200, 16_000)[None], torch.tensor([12.0]))[0, 300:-300]
        assert transformed.square().mean().sqrt() < 0.7 * 10 ** (-75 / 20)

    @pytest.mark.parametrize(("up", "down"), [(3, 2), (2, 3), (1, 2), (2, 1), (5, 4)])
    def test_against_scipy(self, up: int, down: int) -> None:
        """Two independent implementations, on speech-like noise below the new Nyquist frequency."""
        x = speech(12_000, highest=0.85 * 8000 * min(1, up / down))
        transformed = get_group("speed24").act(x[None], torch.tensor([12 * math.log2(down / up)], dtype=torch.double))[
            0
        ]
        by_poly = torch.from_numpy(signal.resample_poly(x.numpy(), up, down, window=("kaiser", 12.0)))
        by_fourier = torch.from_numpy(signal.resample(x.numpy(), 12_000 * up // down))
        assert len(transformed) == len(by_poly)
        inside = slice(500, -500)
        assert distance(transformed[inside], by_fourier[inside]) < 1e-3
        assert distance(transformed[inside], by_poly[inside]) < 1e-2

    @given(a=st.floats(-12, 12), b=st.floats(-12, 12))
    @settings(max_examples=20, deadline=None)
    def test_composition_and_round_trip(self, a: float, b: float) -> None:
        group = get_group("speed24")
        x = speech(6000, highest=0.85 * 8000 / 2 ** (max(a, a + b, 0) / 12))[None]
        first, second = torch.tensor([a], dtype=torch.double), torch.tensor([b], dtype=torch.double)
        twice, once = group.act(group.act(x, first), second), group.act(x, group.compose(second, first))
        # Each rounds its length to a sample.
        assert abs(twice.shape[1] - once.shape[1]) <= 1 + 2 ** (-b / 12)
        inside = slice(300, min(twice.shape[1], once.shape[1]) - 300)
        assert distance(twice[:, inside], once[:, inside]) < 1e-3
        back = group.act(group.act(x, first), group.inverse(first))
        assert distance(back[:, 300:5700], x[:, 300:5700]) < 1e-3

    def test_late_moments_of_a_long_audio(self) -> None:
        """Positions need more than single precision: an hour's end is as exact as its beginning."""
        from hf_canon.groups.resampling import resample

        moment = torch.arange(3_000_000, dtype=torch.double)
        x = (0.4 * moment).sin().float()[None]
        ratio = torch.tensor([2 ** (0.37 / 12)])
        transformed = resample(x, ratio.double(), 2_900_000)[0]
        expected = (0.4 * float(ratio.double()) * moment[:2_900_000]).sin()
        assert distance(transformed[-9000:-1000], expected[-9000:-1000]) < 1e-3

    def test_gradcheck(self) -> None:
        x = torch.randn(2, 40, dtype=torch.double, requires_grad=True)
        element = torch.tensor([3.3, -5.0])
        assert torch.autograd.gradcheck(lambda x: get_group("speed12").act(x, element, torch.tensor([40, 31])), (x,))
        # A task loss reaches the canonicalizer through the element that it found.
        element = torch.tensor([3.3, -5.0], dtype=torch.double, requires_grad=True)
        assert torch.autograd.gradcheck(lambda t: get_group("speed12").act(x, t, torch.tensor([40, 31])), (element,))


class TestPitch:
    @pytest.mark.parametrize("semitones", [-12.0, -7.31, -2.0, 0.5, 3.0, 7.0, 12.0])
    @pytest.mark.parametrize("frequency", [180.0, 440.0])
    def test_a_tone_becomes_the_transposed_tone(self, semitones: float, frequency: float) -> None:
        """In frequency to a fifth of a cent; and in magnitude, at each moment and frequency, to 2 %."""
        group, ratio = get_group("pitch12"), 2 ** (semitones / 12)
        x = tone(frequency, 16_000, partials=8, highest=7000 / max(ratio, 1))
        transformed = group.act(x[None], torch.tensor([semitones]))[0]
        expected = tone(frequency * ratio, 16_000, partials=8, highest=7000 / max(ratio, 1) * ratio)
        assert len(transformed) == 16_000
        assert abs(12 * math.log2(pitch_of(transformed) / (frequency * ratio))) < 0.002

        def magnitudes(x: Tensor) -> Tensor:
            window = torch.hann_window(1024, dtype=torch.double)
            return torch.stft(x[1500:-1500], 1024, window=window, return_complex=True, center=False).abs()

        assert distance(magnitudes(transformed), magnitudes(expected)) < 0.02

    def test_tempo_stays(self) -> None:
        """Bursts of a tone stay where they are."""
        moment = torch.arange(16_000) / RATE
        envelope = (2 * math.pi * 2 * moment).sin().clamp(min=0)
        x = (envelope * tone(500, 16_000)).float()

        def loudness(x: Tensor) -> Tensor:
            return x.square().unflatten(-1, (-1, 400)).mean(-1).sqrt()

        for transformed in get_group("pitch12").act(x.expand(4, -1), torch.tensor([-10.0, -3.0, 4.0, 11.0])):
            assert distance(loudness(transformed), loudness(x)) < 0.12

    def test_there_and_back(self) -> None:
        group, x = get_group("pitch12"), tone(300, 16_000, partials=6, highest=3000)[None].float()
        for semitones in (-9.0, 4.0, 12.0):
            element = torch.tensor([semitones])
            back = group.act(group.act(x, element), group.inverse(element))[0]
            assert abs(12 * math.log2(pitch_of(back) / 300)) < 0.002
            assert abs(float(back[2000:-2000].norm() / x[0, 2000:-2000].norm()) - 1) < 0.02

    def test_silence_and_clicks(self) -> None:
        x = torch.zeros(3, 3000)
        x[1, 1500], x[2, 0] = 1, 1
        x.requires_grad_(True)
        transformed = get_group("pitch12").act(x, torch.tensor([5.0, 5.0, -5.0]))
        transformed.square().sum().backward()
        assert transformed.isfinite().all() and not transformed[0].any() and transformed[1].any()
        assert x.grad is not None and x.grad.isfinite().all() and x.grad.abs().max() < 10


@pytest.mark.parametrize("samples", [1, 2, 7, 100])
@pytest.mark.parametrize("name", ["speed12", "pitch12", "gain", "reverse"])
def test_very_short_clips(name: str, samples: int) -> None:
    group = get_group(name)
    transformed = group.act(
        torch.randn(2, samples), torch.tensor([1, 0]) if group.finite else torch.tensor([12.0, -12.0])
    )
    assert transformed.isfinite().all() and len(transformed) == 2


class TestWarp:
    """Spectrograms that are known at every moment and frequency."""

    kind = Spectrograms(tuple(float(f) for f in np.geomspace(100, 6000, 120)), -1, 100.0, 1.0)

    def ridge(self, semitones: Tensor, tempo: Tensor, frames: int = 80) -> Tensor:
        """A partial that glides in pitch and comes and goes, transformed by so many semitones at such a tempo."""
        moment = (torch.arange(frames, dtype=torch.double) + 0.5) * tempo.unsqueeze(1) - 0.5
        pitch = 12 * torch.tensor(self.kind.frequencies, dtype=torch.double).log2() - semitones.view(-1, 1, 1)
        centre = 12 * math.log2(800) + 3 * (moment / 20).sin().unsqueeze(2)
        strength = ((moment - 40) / 8).square().mul(-0.5).exp().unsqueeze(2)
        return strength * ((pitch - centre) / 3).square().mul(-0.5).exp()

    @pytest.mark.parametrize("axis", [-1, -2])
    @pytest.mark.parametrize("name", ["pitch12", "speed12"])
    def test_against_the_transformed_ridge(self, name: str, axis: int) -> None:
        from dataclasses import replace

        group = get_group(name).on(replace(self.kind, frequency_axis=axis))
        element = torch.tensor([-12.0, -5.5, 0.3, 4.0, 9.0], dtype=torch.double)
        still, zero = torch.ones(5, dtype=torch.double), torch.zeros(5, dtype=torch.double)
        x, expected = self.ridge(zero, still), self.ridge(element, 2 ** (element / 12) if name == "speed12" else still)
        if axis == -2:
            x, expected = x.mT, expected.mT
        transformed = group.act(x, element)
        assert (transformed - expected).abs().max() < 0.02
        twice = group.act(group.act(x, element / 2), element / 2)
        assert (twice - transformed).abs().max() < 0.02

    def test_the_spectrogram_moves_as_that_of_the_transformed_waveform(self) -> None:
        """Both kinds mean the same by an element: the strongest bin of a tone, found in either way."""
        frequencies = torch.linspace(0, RATE / 2, 513)
        kind = Spectrograms(tuple(frequencies.tolist()), -2, RATE / 256, math.log(10) / 10)
        x, element = tone(600, 16_000)[None].float().expand(4, -1), torch.tensor([-11.0, -4.0, 3.0, 12.0])

        def spectrogram(x: Tensor) -> Tensor:
            window = torch.hann_window(1024)
            return (torch.stft(x, 1024, 256, window=window, return_complex=True).abs().square() + 1e-6).log()

        for name in ("pitch12", "speed12"):
            warped = get_group(name).on(kind).act(spectrogram(x), element)
            transformed = spectrogram(get_group(name).act(x, element))
            frame = 12  # the shortest has 31
            assert (warped[..., frame].argmax(1) - transformed[..., frame].argmax(1)).abs().max() <= 2

    @pytest.mark.parametrize("name", ["pitch12", "speed12"])
    def test_what_was_not_heard_is_the_floor(self, name: str) -> None:
        x = torch.rand(2, 30, 120) + torch.tensor([3.0, -20.0]).view(2, 1, 1)
        transformed = get_group(name).on(self.kind).act(x, torch.tensor([-12.0, 12.0]))
        assert torch.equal(transformed.flatten(1).amin(1), x.flatten(1).amin(1))
        assert (transformed[0, :, -5:] == x[0].min()).all() and (transformed[1, :, :5] == x[1].min()).all()
        if name == "speed12":
            assert (transformed[1, 16:] == x[1].min()).all()

    @pytest.mark.parametrize("name", ["pitch12", "speed12"])
    def test_gradcheck(self, name: str) -> None:
        kind = Spectrograms((100.0, 180.0, 300.0, 500.0, 900.0), -1, 100.0, 1.0)
        x = torch.randn(2, 6, 5, dtype=torch.double, requires_grad=True)
        element, lengths = torch.tensor([3.3, -5.0]), torch.tensor([6, 4])
        assert torch.autograd.gradcheck(lambda x: get_group(name).on(kind).act(x, element, lengths), (x,))


@pytest.mark.parametrize("name", GROUPS)
def test_other_shapes_are_refused(name: str) -> None:
    group = get_group(name)
    for shape in ((100,), (2, 1, 100)):
        with pytest.raises(ValueError, match=rf"{name} acts on waveforms \(batch, samples\).*Give a single clip"):
            group.act(torch.randn(shape), torch.zeros(2))
    with pytest.raises(ValueError, match=f"{name} .*acts on audio, as a waveform"):
        group.on(Images())
    kind, _ = SPECTROGRAMS["bins last"]
    if name == "polarity":
        with pytest.raises(ValueError, match="spectrogram does not show.*these inputs are audio, as a spec"):
            group.on(kind)
        return
    for shape in ((24, 40), (2, 40, 24)):
        with pytest.raises(ValueError, match=r"spectrograms \(batch, ..., frames, bins\) with 40 bins"):
            group.on(kind).act(torch.randn(shape), torch.zeros(2))


def test_more_than_four_octaves_are_refused() -> None:
    for name in ("speed49", "pitch120"):
        with pytest.raises(ValueError, match=f"{name} reaches .* Use 48 or fewer"):
            get_group(name)
