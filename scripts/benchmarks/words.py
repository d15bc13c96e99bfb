"""Spoken words for a Whisper encoder, and the canonicalizer that learns by what they were transformed."""

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
"""Of every training clip, each transformed by another element."""
STEPS, BATCH, RATE_OF_LEARNING = 300, 32, 3e-3


class Clips:
    """A split of the words, and what the checkpoint reads of them."""

    def __init__(self, split: str):
        rows = words(split)
        self.clips = [np.asarray(audio, np.float32) for audio in rows["audio"]]
        self.labels = torch.tensor(rows["label"])
        self.extractor = AutoFeatureExtractor.from_pretrained(speech_checkpoint("language"))

    def features(self, clips: list[np.ndarray]) -> Tensor:
        """`(clips, bins, frames)`."""
        return self.extractor(clips, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features

    def transformed(self, shift: Callable[[np.ndarray, float], np.ndarray], semitones: float) -> list[np.ndarray]:
        """By another implementation than ours."""
        transformed = (shift(audio, semitones) if semitones else audio for audio in self.clips)
        return [np.asarray(audio, np.float32) for audio in transformed]

    def transformed_at_random(self, name: str, copies: int) -> tuple[Tensor, Tensor]:
        """Every clip transformed as a waveform, by `copies` random elements: features and elements."""
        group, generator = get_group(name), torch.Generator().manual_seed(0)
        features, elements = [], []
        for _ in range(copies):
            element, clips = group.sample(len(self.clips), generator), []
            for start in range(0, len(self.clips), 16):
                part = [torch.from_numpy(audio) for audio in self.clips[start : start + 16]]
                lengths, some = torch.tensor([len(audio) for audio in part]), element[start : start + 16]
                transformed = group.act(pad_sequence(part, batch_first=True), some, lengths)
                ends = group.transformed_lengths(lengths, some).tolist()
                clips += [audio[:end].numpy() for audio, end in zip(transformed, ends, strict=True)]
            features.append(self.features(clips))
            elements.append(element)
        return torch.cat(features), torch.cat(elements)


def train(name: str, seed: int, x: Tensor, elements: Tensor) -> CanonicalizedModel:
    """A canonicalizer that was trained to say by what the transformed clips were transformed."""
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
