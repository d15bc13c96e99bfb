"""A visitor's sound: read within limits, moved by hand, answered as the model answers."""

import numpy as np
import pytest
import soundfile
import torch
from demo.conftest import RATE, sing

from hf_canon.demo.sound import answer_sound, moved, read_sound
from hf_canon.selection import Action

RULES = ("argmax", "conformal", "orbit", "identity", "abstain")


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def pitch_of(sound: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(np.argmax(spectrum) * rate / len(sound))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_file_of_any_rate_is_heard_at_that_of_the_checkpoint(tmp_path, suffix, rate):
    stereo = np.stack([tone(440, rate), tone(440, rate)], 1)
    soundfile.write(tmp_path / f"tone.{suffix}", stereo, rate)
    sound = read_sound(tmp_path / f"tone.{suffix}", RATE)
    assert sound.dtype == np.float32
    assert sound.ndim == 1
    assert abs(len(sound) / RATE - 1) < 0.1  # mp3 pads
    assert abs(pitch_of(sound, RATE) - 440) < 2


def test_what_is_too_long_or_short_or_no_sound_is_refused_in_a_sentence(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 8000), 8000)
    with pytest.raises(ValueError, match="lasts 31 seconds, and this page takes 30. Cut out"):
        read_sound(tmp_path / "long.wav", RATE)
    soundfile.write(tmp_path / "short.wav", np.zeros(10), 8000)
    with pytest.raises(ValueError, match="lasts 1 ms, which is too short"):
        read_sound(tmp_path / "short.wav", RATE)
    soundfile.write(tmp_path / "wide.flac", np.zeros((25 * 96_000, 8)), 96_000)
    with pytest.raises(ValueError, match="has 19 million samples, and this page takes 12 million. Save it with fewer"):
        read_sound(tmp_path / "wide.flac", RATE)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(ValueError, match="Give a file in wav, flac, ogg or mp3."):
        read_sound(tmp_path / "text.wav", RATE)


def test_a_sound_moves_as_its_sliders_say():
    sound = tone(440, RATE).astype(np.float32)
    assert np.array_equal(moved(sound, RATE), sound)
    faster = moved(sound, RATE, speed=12)
    assert abs(len(faster) - RATE / 2) <= 1
    assert abs(pitch_of(faster, RATE) - 880) < 4
    higher = moved(sound, RATE, pitch=12)
    assert len(higher) == len(sound)
    assert abs(pitch_of(higher, RATE) - 880) < 4
    assert np.array_equal(moved(sound, RATE, backwards=True), sound[::-1])
    assert np.allclose(moved(sound, RATE, gain=-20), sound / 10, atol=1e-6)
    assert np.abs(moved(sound, RATE, gain=20)).max() == 1.0  # clipped, as by a recorder


@pytest.mark.parametrize("rule", RULES)
def test_both_answers_are_those_of_the_model(opened_listener, rule):
    model, extractor = opened_listener.model, opened_listener.processor
    for seed in range(4):
        sound = moved(sing(seed), RATE, backwards=seed % 2 == 1)
        answer, canonical = answer_sound(opened_listener, sound, rule)
        inputs = dict(extractor([sound], sampling_rate=RATE, return_tensors="pt"))
        with torch.inference_mode():
            alone, behind = model(**inputs, canonicalize=False), model(**inputs, decision=rule)
        said = behind.canonicalization
        assert answer.action == Action(said.action.item())
        assert answer.element == model.group.describe(said.element.item())
        assert np.allclose(list(answer.before.values()), alone.logits[0].softmax(-1), atol=1e-6)
        # Of waveforms, what is undone in the sound is undone in what the checkpoint reads.
        assert np.allclose(list(answer.after.values()), behind.logits[0].softmax(-1), atol=1e-4)
        undone = model.group.act(torch.from_numpy(sound)[None], model.group.inverse(said.element))[0]
        assert np.array_equal(canonical, undone.numpy())


def test_a_sound_and_its_reverse_have_one_answer(opened_listener):
    for seed in range(3):
        there, heard = answer_sound(opened_listener, sing(seed), None)
        back, heard_back = answer_sound(opened_listener, moved(sing(seed), RATE, backwards=True), None)
        assert there.after == back.after
        assert np.array_equal(heard, heard_back)
