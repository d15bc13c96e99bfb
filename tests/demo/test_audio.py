"""A visitor's audio: read within limits, moved by hand, answered as the model answers."""

import numpy as np
import pytest
import soundfile
import torch
from demo.conftest import RATE, sing

from hf_canon.demo.audio import answer_audio, read_audio, transformed
from hf_canon.selection import Action

RULES = ("argmax", "conformal", "orbit", "identity", "abstain")


def tone(hertz: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def pitch_of(audio: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum) * rate / len(audio))


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_file_of_any_rate_is_heard_at_that_of_the_checkpoint(tmp_path, suffix, rate):
    stereo = np.stack([tone(440, rate), tone(440, rate)], 1)
    soundfile.write(tmp_path / f"tone.{suffix}", stereo, rate)
    audio = read_audio(tmp_path / f"tone.{suffix}", RATE)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert abs(len(audio) / RATE - 1) < 0.1  # mp3 pads
    assert abs(pitch_of(audio, RATE) - 440) < 2


def test_what_is_too_long_or_short_or_no_audio_is_refused_in_a_sentence(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(31 * 8000), 8000)
    with pytest.raises(ValueError, match="lasts 31 seconds, and this page takes 30. Cut out"):
        read_audio(tmp_path / "long.wav", RATE)
    soundfile.write(tmp_path / "short.wav", np.zeros(10), 8000)
    with pytest.raises(ValueError, match="lasts 1 ms, which is too short"):
        read_audio(tmp_path / "short.wav", RATE)
    soundfile.write(tmp_path / "wide.flac", np.zeros((25 * 96_000, 8)), 96_000)
    with pytest.raises(ValueError, match="has 19 million samples, and this page takes 12 million. Save it with fewer"):
        read_audio(tmp_path / "wide.flac", RATE)
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="Give a file in wav, flac, ogg or mp3."):
        read_audio(tmp_path / "text.wav", RATE)


def test_a_audio_moves_as_its_sliders_say():
    audio = tone(440, RATE).astype(np.float32)
    assert np.array_equal(transformed(audio, RATE), audio)
    faster = transformed(audio, RATE, speed=12)
    assert abs(len(faster) - RATE / 2) <= 1
    assert abs(pitch_of(faster, RATE) - 880) < 4
    higher = transformed(audio, RATE, pitch=12)
    assert len(higher) == len(audio)
    assert abs(pitch_of(higher, RATE) - 880) < 4
    assert np.array_equal(transformed(audio, RATE, backwards=True), audio[::-1])
    assert np.allclose(transformed(audio, RATE, gain=-20), audio / 10, atol=1e-6)
    assert np.abs(transformed(audio, RATE, gain=20)).max() == 1.0  # clipped, as by a recorder


@pytest.mark.parametrize("rule", RULES)
def test_both_answers_are_those_of_the_model(opened_audio_model, rule):
    model, extractor = opened_audio_model.model, opened_audio_model.processor
    for seed in range(4):
        audio = transformed(sing(seed), RATE, backwards=seed % 2 == 1)
        answer, canonical = answer_audio(opened_audio_model, audio, rule)
        inputs = dict(extractor([audio], sampling_rate=RATE, return_tensors="pt"))
        with torch.inference_mode():
            alone, behind = model(**inputs, canonicalize=False), model(**inputs, decision=rule)
        said = behind.canonicalization
        assert answer.action == Action(said.action.item())
        assert answer.element == model.group.describe(said.element.item())
        assert np.allclose(list(answer.before.values()), alone.logits[0].softmax(-1), atol=1e-6)
        # Of waveforms, what is undone in the audio is undone in what the checkpoint reads.
        assert np.allclose(list(answer.after.values()), behind.logits[0].softmax(-1), atol=1e-4)
        undone = model.group.act(torch.from_numpy(audio)[None], model.group.inverse(said.element))[0]
        assert np.array_equal(canonical, undone.numpy())


def test_a_audio_and_its_reverse_have_one_answer(opened_audio_model):
    for seed in range(3):
        there, heard = answer_audio(opened_audio_model, sing(seed), None)
        back, heard_back = answer_audio(opened_audio_model, transformed(sing(seed), RATE, backwards=True), None)
        assert there.after == back.after
        assert np.array_equal(heard, heard_back)
