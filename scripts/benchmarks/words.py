"""Spoken words for a Whisper encoder, and the canonicalizer that learns by what they were moved."""

from collections.abc import Callable

import numpy as np
import torch
from assets.offline_data import speech_checkpoint, words
from assets.playback import SAMPLING_RATE
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoFeatureExtractor

from hf_canon import CanonicalizedModel, get_group

COPIES = 8
"""Of every training clip, each moved by another element."""
STEPS, BATCH, RATE_OF_LEARNING = 300, 32, 3e-3


class Clips:
    """A split of the words, and what the checkpoint reads of them."""

    def __init__(self, split: str):
        rows = words(split)
        self.sounds = [np.asarray(sound, np.float32) for sound in rows["audio"]]
        self.labels = torch.tensor(rows["label"])
        self.extractor = AutoFeatureExtractor.from_pretrained(speech_checkpoint("language"))

    def features(self, sounds: list[np.ndarray]) -> Tensor:
        """`(clips, bins, frames)`."""
        return self.extractor(sounds, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features

    def moved(self, shift: Callable[[np.ndarray, float], np.ndarray], semitones: float) -> list[np.ndarray]:
        """By another implementation than ours."""
        moved = (shift(sound, semitones) if semitones else sound for sound in self.sounds)
        return [np.asarray(sound, np.float32) for sound in moved]

    def moved_at_random(self, name: str, copies: int) -> tuple[Tensor, Tensor]:
        """Every clip moved as a waveform, by `copies` random elements: features and elements."""
        group, generator = get_group(name), torch.Generator().manual_seed(0)
        features, elements = [], []
        for _ in range(copies):
            element, sounds = group.sample(len(self.sounds), generator), []
            for start in range(0, len(self.sounds), 16):
                part = [torch.from_numpy(sound) for sound in self.sounds[start : start + 16]]
                lengths, some = torch.tensor([len(sound) for sound in part]), element[start : start + 16]
                moved = group.act(pad_sequence(part, batch_first=True), some, lengths)
                ends = group.moved_lengths(lengths, some).tolist()
                sounds += [sound[:end].numpy() for sound, end in zip(moved, ends, strict=True)]
            features.append(self.features(sounds))
            elements.append(element)
        return torch.cat(features), torch.cat(elements)


def train(name: str, seed: int, x: Tensor, elements: Tensor) -> CanonicalizedModel:
    """A canonicalizer that was trained to say by what the moved clips were moved."""
    torch.manual_seed(seed)
    model = CanonicalizedModel.wrap(speech_checkpoint("language"), group=name, canonicalizer="shift").train()
    optimizer = torch.optim.AdamW(model.canonicalizer.parameters(), lr=RATE_OF_LEARNING, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE_OF_LEARNING, STEPS, pct_start=0.1)
    for _ in range(STEPS):
        some = torch.randint(len(x), (BATCH,))
        loss = model(input_features=low_passed(x[some]), element=elements[some]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def low_passed(x: Tensor) -> Tensor:
    """Half of the clips without what is above a random frequency: that a slowed clip has nothing there would give its
    speed away, and a telephone's voice would be taken for one."""
    bins = x.shape[1]
    cut = torch.randint(bins // 2, 3 * bins // 2, (len(x), 1, 1))
    return torch.where(torch.arange(bins).unsqueeze(1) < cut, x, x.amin((1, 2), keepdim=True))
