"""What a predictor reads: under which name, and what the numbers mean."""

from functools import lru_cache
from inspect import signature
from typing import Any

from .groups.kinds import Kind, Pictures

INPUT_NAMES = ("pixel_values", "input_values", "input_features")
"""What transformers calls pictures, waveforms and spectrograms; older models also call spectrograms input_values."""


def input_name(predictor: Any) -> str:
    """The argument that holds what a predictor looks at or listens to.

    Raises:
        ValueError: it does neither.
    """
    predictor_class: Any = type(predictor)
    found = _input_name(predictor_class)
    if found is None:
        raise ValueError(
            f"{type(predictor).__name__} reads {predictor.main_input_name}, and hf_canon is for what looks at "
            f"pictures or listens to sound ({', '.join(INPUT_NAMES)}). Give it such a checkpoint."
        )
    return found


@lru_cache
def _input_name(predictor: Any) -> str | None:
    # Not every class says its main input, and its parent's is text.
    taken = [getattr(predictor, "main_input_name", ""), *signature(predictor.forward).parameters]
    return next((name for name in taken if name in INPUT_NAMES), None)


def kind_of(config: Any, name: str, processor: dict[str, bytes]) -> Kind:
    """What the numbers in a predictor's input mean.

    Args:
        config: of the predictor.
        name: of the input.
        processor: the files, by name, that describe its processor.
    """
    from .loading import normalization  # and transformers with it

    channels = input_channels(config)
    known = normalization(processor, channels)
    if known is None:
        return Pictures()
    scale, shift = known
    return Pictures(tuple(255 * one for one in scale), shift)


def input_channels(config: Any) -> int:
    """Channels of the picture that a vision configuration describes; three unless it says otherwise."""
    for holder in (config, getattr(config, "backbone_config", None)):
        channels = getattr(holder, "num_channels", None)
        if isinstance(channels, int):
            return channels
    return 3
