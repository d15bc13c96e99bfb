"""What canonicalizers promise for colours and clips."""

import math

import pytest
import torch
from images import images
from tones import tones
from torch import Tensor

from hf_canon import get_group
from hf_canon.canonicalizers import Canonicalizer, build_canonicalizer
from hf_canon.groups import Group, Images, Spectrograms, Waveforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = Images(tuple(1 / s for s in STD), tuple(-m / s for m, s in zip(MEAN, STD, strict=True)))
SPECTROGRAMS = Spectrograms(tuple(20 * 2 ** (i / 7) for i in range(60)), -1, 100.0, 0.1)


def build(name: str, group: Group) -> Canonicalizer:
    torch.manual_seed(0)
    return build_canonicalizer(name, group).eval()


def landscapes(batch: int, seed: int = 0) -> Tensor:
    """A blue sky above a green field, and something red on it; `(batch, 3, 40, 40)` in [0, 1], nearly."""
    height = torch.linspace(1, 0, 40).view(40, 1)
    sky, field = torch.tensor([0.4, 0.5, 0.9]), torch.tensor([0.3, 0.6, 0.2])
    scene = torch.where(height > 0.5, sky.view(3, 1, 1), field.view(3, 1, 1)).expand(3, 40, 40).clone()
    scene[:, 22:30, 10:20] = torch.tensor([0.8, 0.2, 0.2]).view(3, 1, 1)
    return scene + 0.08 * images(batch, 40, seed=seed)


def log_spectrograms(x: Tensor) -> Tensor:
    """A tenth of decibels, at the frequencies of `SPECTROGRAMS`; `(batch, frames, 60)`."""
    power = torch.stft(x, 1024, 160, window=torch.hann_window(1024), return_complex=True).abs().square()
    bins = torch.tensor(SPECTROGRAMS.frequencies) / (16_000 / 1024)
    below = bins.long()
    share = (bins - below).unsqueeze(1)
    mixed = power[:, below] * (1 - share) + power[:, (below + 1).clamp(max=512)] * share
    return (mixed + 1e-6).log10().mT


class TestOrbit:
    @pytest.mark.covering("group_name", "kind")
    @pytest.mark.parametrize("group_name", ["channels", "negative", "hue12", "d4*channels", "d4*negative"])
    @pytest.mark.parametrize("kind", [Images((1.0,) * 3, (0.0,) * 3), IMAGENET], ids=["plain", "imagenet"])
    def test_decisions_move_with_every_exact_element(self, group_name: str, kind: Images) -> None:
        group = get_group(group_name).on(kind)
        canonicalizer = build("orbit", group)
        x = images(16, 33)
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(x))
            for one in group.exact_elements:
                transformed = group.act(x, one.expand(16))
                expected = group.compose(one.expand(16), found)
                assert torch.equal(canonicalizer.element(canonicalizer(transformed)), expected)
        assert len(found.unique()) > 1

    @pytest.mark.parametrize("group_name", ["channels", "d4*negative"])
    def test_images_of_another_checkpoint_are_converted(self, group_name: str) -> None:
        """The same scenes in another normalization have the same pose."""
        plain, imagenet = (get_group(group_name).on(kind) for kind in (Images((1.0,) * 3, (0.0,) * 3), IMAGENET))
        canonicalizer = build("orbit", plain)
        x = 0.5 + 0.2 * images(4, 40)
        scale, shift = (torch.tensor(one).view(3, 1, 1) for one in (IMAGENET.scale, IMAGENET.offset))
        with torch.no_grad():
            logits = canonicalizer(x)
            canonicalizer.group, canonicalizer.scale, canonicalizer.offset = imagenet, STD, MEAN
            assert torch.allclose(canonicalizer(x * scale + shift), logits, atol=1e-4)

    def test_corners_are_masked_where_images_turn_and_nowhere_else(self) -> None:
        corner = torch.zeros(1, 3, 32, 32)
        corner[..., :2, :2] = 1
        for group_name, seen in (("d4*negative", False), ("negative", True)):
            looks = build("orbit", get_group(group_name)).looks(corner)
            assert bool(looks[..., :2, :2].any()) == seen

    @pytest.mark.covering("group_name", "samples")
    @pytest.mark.parametrize("group_name", ["reverse", "polarity", "time_shift4", "reverse*polarity"])
    @pytest.mark.parametrize("samples", [800, 4000, 16_004])
    def test_a_transformed_audio_has_the_same_looks_to_the_bit(self, group_name: str, samples: int) -> None:
        group = get_group(group_name)
        canonicalizer = build("orbit", group)
        x = tones(2, samples)
        k = len(group.elements)
        looks = canonicalizer.looks(x).unflatten(0, (2, k))
        for one in group.elements:
            transformed = canonicalizer.looks(group.act(x, one.expand(2))).unflatten(0, (2, k))
            order = group.compose(group.inverse(one), group.elements)  # look s of g x is look g^-1 s of x
            assert torch.equal(transformed, looks[:, order])

    def test_only_the_histogram_of_amplitudes_sees_the_sign(self) -> None:
        x = tones(2, 4000)
        spectrum, amplitudes = build("orbit", get_group("polarity")).looks(x).unflatten(0, (2, 2)).unbind(2)
        assert torch.equal(spectrum[:, 0], spectrum[:, 1])
        assert torch.allclose(amplitudes[:, 0], amplitudes[:, 1].flip(1), atol=1e-4)
        assert (amplitudes[:, 0] - amplitudes[:, 1]).abs().max() > 0.01

    def test_thumbnails_fit_every_duration(self) -> None:
        """The same tone for longer is the same image, away from its ends."""
        canonicalizer = build("orbit", get_group("reverse"))
        short, long = (
            canonicalizer.looks((0.13 * torch.arange(samples)).sin()[None])[0, 0, :, 4:-4]
            for samples in (30_000, 60_000)
        )
        assert torch.allclose(short, long, atol=0.05)


class TestShift:
    @pytest.mark.parametrize("transformed", [-24, -5, 1, 24])
    def test_the_line_is_exactly_equivariant(self, transformed: int) -> None:
        """Loudness transformed by k places transforms the logits by k, wherever the axis has silence to move into."""
        canonicalizer = build("shift", get_group("pitch12"))
        read = torch.zeros(3, canonicalizer.coordinates.features, 240)
        read[..., 30:200] = torch.rand(3, canonicalizer.coordinates.features, 170)
        with torch.no_grad():
            here, there = (
                canonicalizer.coordinates.fine(canonicalizer.around(one)) for one in (read, read.roll(transformed, -1))
            )
        both = slice(max(transformed, 0), 49 + min(transformed, 0))
        assert torch.allclose(there[:, both], here.roll(transformed, -1)[:, both], atol=1e-5)
        assert here.std() > 1e-3

    def test_a_transposed_audio_is_read_as_a_transformed_one(self) -> None:
        """By an octave up, 24 places: the statistics hardly change but for where they are."""
        canonicalizer = build("shift", get_group("pitch12"))
        coordinates, group = canonicalizer.coordinates, canonicalizer.group
        low, high = (coordinates.read(group, tones(4, 16_000, torch.full((4,), by)), None) for by in (0.0, 12.0))
        apart = (high - low.roll(24, -1)).abs()[..., 84:160].mean()
        assert apart < 0.35 * (high - low).abs()[..., 84:160].mean()

    @pytest.mark.parametrize("group_name", ["hue12", "hue"])
    def test_thirds_shift_the_hue_circle(self, group_name: str) -> None:
        group = get_group(group_name)
        canonicalizer = build("shift", group)
        x = 0.5 + 0.2 * images(4, 40)
        read = canonicalizer.coordinates.read(group, x, None)
        assert read.std() > 1e-3
        for i, third in enumerate(group.exact_elements):
            transformed = canonicalizer.coordinates.read(group, group.act(x, third.expand(4)), None)
            assert torch.allclose(transformed, read.roll(12 * i, -1), atol=1e-5)

    def test_any_angle_nearly_shifts_the_hue_circle(self) -> None:
        group = get_group("hue")
        canonicalizer = build("shift", group)
        x = 0.5 + 0.2 * images(4, 40)
        read = canonicalizer.coordinates.read(group, x, None)
        for places in (1, 5, 17):
            angle = torch.full((4,), places * 2 * math.pi / 36)
            transformed = canonicalizer.coordinates.read(group, group.act(x, angle), None)
            assert torch.allclose(transformed, read.roll(places, -1), atol=1e-4)  # a whole number of places
            between = canonicalizer.coordinates.read(group, group.act(x, angle + math.pi / 36), None)
            neighbours = (read.roll(places, -1) + read.roll(places + 1, -1)) / 2
            assert (between - neighbours).abs().mean() < 0.1 * read.mean()

    def test_bins_are_the_parameters_of_the_group(self) -> None:
        for group_name, bins in (("pitch12", 49), ("speed7", 29), ("hue", 36)):
            canonicalizer = build("shift", get_group(group_name))
            x = tones(2, 4000) if bins != 36 else images(2, 40)
            assert canonicalizer(x).shape == (2, bins)

    @pytest.mark.parametrize("sampling_rate", [8_000, 22_050, 48_000])
    def test_the_axis_does_not_depend_on_the_sampling_rate(self, sampling_rate: int) -> None:
        group = get_group("pitch12")
        canonicalizer = build("shift", group)
        here = canonicalizer.coordinates.read(group, tones(4, 16_000), None)
        there = canonicalizer.coordinates.read(
            group.on(Waveforms(sampling_rate)), tones(4, sampling_rate, sampling_rate=sampling_rate), None
        )
        assert (here - there).abs()[:, 0, 20:120].mean() < 0.25 * here[:, 0, 20:120].mean()


LISTENING = [
    *(("orbit", group) for group in ("reverse", "polarity", "time_shift4", "reverse*polarity")),
    *(("shift", group) for group in ("pitch12", "speed12")),
    *(("moment", group) for group in ("gain", "polarity")),
]


@pytest.mark.parametrize(("name", "group_name"), LISTENING)
class TestLengths:
    def test_a_padded_batch_is_each_alone(self, name: str, group_name: str) -> None:
        """Whatever the padding holds."""
        canonicalizer = build(name, get_group(group_name))
        lengths = torch.tensor([8000, 5200, 804, 2000])
        x = tones(4, 8000)
        padded = torch.where(torch.arange(8000) < lengths[:, None], x, 3.0)
        with torch.no_grad():
            together = canonicalizer(padded, lengths)
            alone = torch.cat([canonicalizer(one[None, :n]) for one, n in zip(x, lengths, strict=True)])
        assert torch.allclose(together, alone, atol=1e-4)

    def test_numbers_that_are_none_reach_the_logits(self, name: str, group_name: str) -> None:
        """By which the model tells that there is no pose, and for the others of the batch that there is one."""
        canonicalizer = build(name, get_group(group_name))
        x = tones(3, 4000)
        x[0, 100], x[1, 200] = math.nan, math.inf
        with torch.no_grad():
            assert canonicalizer(x).isfinite().all(1).tolist() == [False, False, True]

    def test_silence_has_a_finite_answer(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, get_group(group_name))
        with torch.no_grad():
            assert canonicalizer(torch.zeros(2, 4000)).isfinite().all()

    def test_gradients_reach_the_audio(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, get_group(group_name))
        x = torch.cat([tones(2, 4000), torch.zeros(1, 4000)]).requires_grad_()
        canonicalizer(x).square().sum().backward()
        assert x.grad is not None and x.grad.isfinite().all() and x.grad[:2].any(1).all()


@pytest.mark.parametrize(("name", "group_name"), [row for row in LISTENING if "polarity" not in row[1]])
def test_spectrograms_of_other_lengths(name: str, group_name: str) -> None:
    canonicalizer = build(name, get_group(group_name).on(SPECTROGRAMS))
    lengths = torch.tensor([100, 40, 60])
    x = torch.randn(3, 100, 60)
    padded = torch.where((torch.arange(100) < lengths[:, None]).unsqueeze(2), x, 7.0)
    with torch.no_grad():
        together = canonicalizer(padded, lengths)
        alone = torch.cat([canonicalizer(one[None, :n]) for one, n in zip(x, lengths, strict=True)])
    assert torch.allclose(together, alone, atol=1e-4)
    across = canonicalizer.group.on(Spectrograms(SPECTROGRAMS.frequencies, -2, 100.0, 0.1))
    canonicalizer.group = across
    with torch.no_grad():
        assert torch.allclose(canonicalizer(padded.mT, lengths), together, atol=1e-4)


class TestMoment:
    @pytest.mark.parametrize("group_name", ["gain", "white_balance", "gamma", "hue", "hue12"])
    def test_decisions_move_by_the_element(self, group_name: str) -> None:
        """By any element, not only by those that have a logit."""
        group = get_group(group_name)
        canonicalizer = build("moment", group)
        x = tones(16, 4000) * 8 if group_name == "gain" else landscapes(16)
        element = torch.randint(12, (16,)) if group.finite else (torch.rand(16) - 0.5) * group.reach / 2
        with torch.no_grad():
            found, transformed = (canonicalizer.element(canonicalizer(one)) for one in (x, group.act(x, element)))
        if group.finite:
            assert torch.equal(transformed, group.compose(element, found))
        else:
            assert found.abs().max() < group.reach
            assert group.wrap(transformed - found - element).abs().max() < 1e-3 * group.reach

    @pytest.mark.parametrize("group_name", ["gain", "white_balance", "gamma", "hue", "hue12"])
    def test_the_reference_becomes_the_mean(self, group_name: str) -> None:
        """In a short training with the trainer's learning rate and schedule."""
        group = get_group(group_name)
        canonicalizer = build("moment", group).train()
        x = tones(16, 2000) if group_name == "gain" else landscapes(16)
        optimizer = torch.optim.AdamW(canonicalizer.parameters(), 2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
        generator = torch.Generator().manual_seed(0)
        losses = []
        for _ in range(120):
            loss = canonicalizer.pose_loss(*group.random_act(x, generator))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        moments = canonicalizer.moment(x, None)
        mean = torch.atan2(moments.sin().mean(), moments.cos().mean()) if "hue" in group_name else moments.mean()
        assert losses[-1] < 0.5 * losses[0]
        assert (canonicalizer.canonical_moment - mean).abs() < 0.05 * canonicalizer.reach

    @pytest.mark.covering("group_name", "channel", "value")
    @pytest.mark.parametrize("group_name", ["white_balance", "gamma", "hue", "hue12"])
    @pytest.mark.parametrize("channel", [0, 1, 2])
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_numbers_that_are_none_reach_the_logits(self, group_name: str, channel: int, value: float) -> None:
        """Those of images too, whatever an average passes over."""
        x = landscapes(2)
        x[1, channel, 3, 4] = value
        with torch.no_grad():
            assert build("moment", get_group(group_name))(x).isfinite().all(1).tolist() == [True, False]

    def test_polarity_is_learned(self) -> None:
        """Of clips that are skewed one way, whichever it is."""
        group = get_group("polarity")
        x = tones(32, 4000)
        x = x * x.pow(3).sum(1, keepdim=True).sign()
        for sign in (1, -1):
            canonicalizer = build("moment", group).train()
            optimizer = torch.optim.AdamW(canonicalizer.parameters(), 0.05)
            for _ in range(60):
                loss = canonicalizer.pose_loss(*group.random_act(sign * x))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            transformed, element, _ = group.random_act(sign * x)
            assert torch.equal(canonicalizer.element(canonicalizer(transformed)), element)


def train(canonicalizer: Canonicalizer, batches: list[Tensor], rate: float = 3e-3) -> list[float]:
    """Upright inputs transformed at random by the group itself; the loss of each step."""
    canonicalizer.train()
    optimizer = torch.optim.AdamW(canonicalizer.parameters(), rate)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for x in batches:
        loss = canonicalizer.pose_loss(*canonicalizer.group.random_act(x, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    canonicalizer.eval()
    return losses


class TestTraining:
    @pytest.mark.covering()
    @pytest.mark.parametrize("heard", ["waveforms", "spectrograms"])
    def test_pitch_is_found_within_half_a_semitone(self, heard: str) -> None:
        """Trained on clips that the group transposed, tested on clips that were made at another pitch."""
        seen = torch.nn.Identity() if heard == "waveforms" else log_spectrograms
        group = get_group("pitch12") if heard == "waveforms" else get_group("pitch12").on(SPECTROGRAMS)
        canonicalizer = build("shift", group)
        losses = train(canonicalizer, [seen(tones(8, 4000, seed=i)) for i in range(60)])
        assert losses[-1] < 0.6 * losses[0]
        semitones = 20 * torch.rand(50) - 10
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(seen(tones(50, 4000, semitones, seed=1000))))
        assert ((found - semitones).abs() < 0.5).float().mean() > 0.9

    @pytest.mark.covering()
    @pytest.mark.parametrize("group_name", ["hue12", "hue"])
    def test_hue_is_found(self, group_name: str) -> None:
        group = get_group(group_name)
        canonicalizer = build("shift", group)
        losses = train(canonicalizer, [landscapes(16, seed=i) for i in range(40)])
        assert losses[-1] < 0.6 * losses[0]
        element = group.sample(100)
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(group.act(landscapes(100, seed=1000), element)))
        right = found == element if group.finite else group.wrap(found - element).abs() < math.pi / 12
        assert right.float().mean() > 0.95

    def test_products_are_found_together(self) -> None:
        group = get_group("d4*channels")
        canonicalizer = build("orbit", group)
        train(canonicalizer, [landscapes(8, seed=i) for i in range(30)], 5e-3)
        transformed, element, _ = group.random_act(landscapes(50, seed=1000))
        with torch.no_grad():
            assert (canonicalizer.element(canonicalizer(transformed)) == element).float().mean() > 0.9


@pytest.mark.parametrize(
    ("name", "group", "settings", "sentence"),
    [
        ("orbit", "gain", {}, "needs a finite group; for gain use canonicalizer='moment'"),
        ("orbit", "hue", {}, "needs a finite group; for hue use canonicalizer='shift'"),
        ("orbit", "pitch12", {}, "needs a finite group; for pitch12 use canonicalizer='shift'"),
        ("equivariant", "channels", {}, "channels is not one. Use canonicalizer='orbit'"),
        ("equivariant", "pitch12", {}, "pitch12 is not one. Use canonicalizer='shift'"),
        ("shift", "channels", {}, "none for channels. Use canonicalizer='orbit'"),
        ("shift", "reverse", {}, "none for reverse. Use canonicalizer='orbit'"),
        ("shift", "gain", {}, "none for gain. Use canonicalizer='moment'"),
        ("shift", "d4*channels", {}, r"none for d4\*channels. Use canonicalizer='orbit'"),
        ("shift", "hue12", {"channels": 1}, "red, green and blue"),
        ("shift", "hue12", {"resolution": 30}, "30 is no multiple of 4"),
        ("shift", "pitch12", {"radii": 3}, "cannot be built from .*radii"),
        ("moment", "d4", {}, "no average that transforms with d4. Use canonicalizer='orbit'"),
        ("moment", "pitch12", {}, "no average that transforms with pitch12. Use canonicalizer='shift'"),
        ("predictor", "pitch12", {}, "pitch12 has infinitely many"),
    ],
)
def test_refusals(name: str, group: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_canonicalizer(name, get_group(group), **settings)
