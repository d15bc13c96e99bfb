"""A user's checkpoint: what answers for the canonical input."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from transformers import AutoFeatureExtractor, AutoImageProcessor

from ..groups import BUILDERS, Group, Kind, Spectrograms, get_group
from .fingerprint import fingerprint
from .inputs import expected_size, input_channels, input_name, kind_of


@dataclass(frozen=True)
class Source:
    """Where a predictor came from, as far as that is known.

    Args:
        name: a folder, or the id of a repository.
        commit: of the repository.
        subfolder: of either.
        processor: the files, by name, that say how its inputs are made.
    """

    name: str | None = None
    commit: str | None = None
    subfolder: str | None = None
    processor: dict[str, bytes] = field(default_factory=dict)


class Predictor:
    """A checkpoint, unchanged, and all that has to be known of it: each thing is found once.

    Args:
        module: the model of transformers.
        source: where it came from.

    Raises:
        ValueError: it reads neither images nor audio.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> predictor = Predictor(ViTForImageClassification(tiny))
        >>> predictor.input_name, predictor.channels, predictor.expected_size
        ('pixel_values', 3, (16, 16))
    """

    def __init__(self, module: Any, source: Source | None = None):
        self.module = module
        self.source = Source() if source is None else source
        self.input_name = input_name(module)
        """The argument that holds its image or audio."""

    @property
    def config(self) -> Any:
        return self.module.config

    @property
    def architecture(self) -> str:
        """The name of its class, by which transformers knows it."""
        return type(self.module).__name__

    @property
    def fingerprint(self) -> str | None:
        """Of its weights as they are now; see `fingerprint`."""
        return fingerprint(self.module)

    @cached_property
    def kind(self) -> Kind:
        """What the numbers that it reads mean.

        Raises:
            ValueError: it reads spectrograms, and it is not known of what frequencies.
        """
        return kind_of(self.config, self.input_name, self.source.processor)

    @cached_property
    def channels(self) -> int:
        """Of the images that it reads; three unless its configuration says otherwise."""
        return input_channels(self.config)

    @cached_property
    def expected_size(self) -> tuple[int, ...]:
        """What it was made for: height and width of images, frames of a spectrogram; empty where any length does."""
        return expected_size(self.config)

    @cached_property
    def processor(self) -> Any:
        """The processor that was saved with it.

        Raises:
            ValueError: there is none that can be read.
        """
        auto = AutoImageProcessor if self.input_name == "pixel_values" else AutoFeatureExtractor
        with TemporaryDirectory() as folder:
            for name, content in self.source.processor.items():
                (Path(folder) / name).write_bytes(content)
            try:
                return auto.from_pretrained(folder)
            except (OSError, ValueError, ImportError) as error:
                raise ValueError(
                    f"The data set holds files and not what {self.architecture} reads, and no processor was saved "
                    "beside that; pass the right one as processor=."
                ) from error

    def bind(self, group: str | Group | None) -> Group:
        """The group, acting on what it reads; where none is asked for, quarter turns, or speeds of audio.

        Raises:
            ValueError: the group does not act on that.
        """
        if not isinstance(group, Group):
            group = get_group(group or self.kind.usual_group)
        if not isinstance(self.kind, group.acts_on):
            fitting = [pattern for pattern, build in BUILDERS.items() if isinstance(self.kind, build(4).acts_on)]
            raise ValueError(
                f"{group.name} ({group.meaning}) does not act on what {self.architecture} reads, {self.kind.noun}. "
                f"Groups that do: {', '.join(fitting)}."
            )
        if isinstance(self.kind, Spectrograms) and not self.kind.decibel and "gain" in group.name.split("*"):
            raise ValueError(
                f"The feature extractor of {self.architecture} makes every clip equally loud, and {group.name} "
                "would find nothing to undo. Leave out gain."
            )
        return group.on(self.kind)
