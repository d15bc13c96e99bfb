"""Learn a distribution that a group leaves as it is from few images or clips, on one device or on many.

Images of which every turn is as likely as any other (cells, galaxies, aerial views):

    python scripts/train_generator.py --data photos/ --group d4 --shape 3 32 32 --output_dir out/generator

The equivariant form, with a critic that is a group convolution; quarter turns and mirror images alone:

    python scripts/train_generator.py --data photos/ --group d4 --shape 3 32 32 --output_dir out/generator \\
        --symmetry features --invariance convolution --mixed_precision bf16

Clips, from a data set with a column `audio`:

    python scripts/train_generator.py --data clips/ --group reverse*polarity --shape 8000 --output_dir out/clips

Several devices:

    accelerate launch --num_processes 8 scripts/train_generator.py ...

A command that was interrupted goes on from the last checkpoint in --output_dir when it is given again. Grids of
samples (samples-<step>.png) and the log (log.jsonl) are there too. --push_to_hub NAME uploads the result.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import HfArgumentParser, set_seed
from transformers.trainer_utils import get_last_checkpoint

from hf_canon.canonicalizers import EquivariantCanonicalizer
from hf_canon.data.named import load_clips, load_rows
from hf_canon.generative import GANArguments, GANTrainer, GeneratorConfig, InvariantGenerator, critic_of
from hf_canon.groups import Group


@dataclass
class GeneratorArguments:
    """What is learned, and from what."""

    data: str = field(metadata={"help": "A folder, a file, or the id of a data set on the Hub."})
    group: str = field(metadata={"help": "What leaves the distribution as it is; `hf-canon info` lists the groups."})
    shape: list[int] = field(metadata={"help": "Of a sample: channels, height and width; or samples of audio."})
    split: str | None = field(default=None, metadata={"help": "Default: train."})
    symmetry: str = field(default="output", metadata={"help": "Of the generator: output, features or none."})
    invariance: str = field(default="orbit", metadata={"help": "The critic: orbit, convolution, canonical, none."})
    latent_size: int = field(default=64, metadata={"help": "Numbers of noise."})
    width: int = field(default=16, metadata={"help": "Channels of the layers at full size."})
    push_to_hub: str | None = field(default=None, metadata={"help": "The repository to upload the generator to."})


def main() -> None:
    parser = HfArgumentParser((GeneratorArguments, GANArguments), description=__doc__)  # type: ignore[arg-type]
    try:
        chosen, args = parser.parse_args_into_dataclasses()
        set_seed(args.seed)
        config = GeneratorConfig(chosen.group, chosen.symmetry, chosen.shape, chosen.latent_size, chosen.width)
        generator = InvariantGenerator(config)
        canonicalizer = canonicalizer_of(generator.group, chosen) if chosen.invariance == "canonical" else None
        critic = critic_of(chosen.invariance, generator.group, chosen.shape, chosen.width, canonicalizer)
        trainer = GANTrainer(generator, critic, rows(chosen), args)
        begun = Path(args.output_dir).is_dir() and get_last_checkpoint(args.output_dir) is not None
        result = trainer.train(resume_from_checkpoint=begun)
    except ValueError as error:
        sys.exit(f"train_generator.py: {error}")
    if result.sentence is not None:
        sys.exit(f"train_generator.py: {result.sentence}")
    if trainer.accelerator.is_main_process:
        print(f"{result.steps:,} steps; the samples are in {args.output_dir}/samples.png.")
        if chosen.push_to_hub:
            InvariantGenerator.from_pretrained(args.output_dir).push_to_hub(chosen.push_to_hub)


def rows(chosen: GeneratorArguments) -> Any:
    """The data set, of clips or of images."""
    load = load_clips if len(chosen.shape) == 1 else load_rows
    return load(chosen.data, chosen.split, ("train",))


def canonicalizer_of(group: Group, chosen: GeneratorArguments) -> EquivariantCanonicalizer:
    """Its weights are random: it has to transform with its inputs, and need not know what is upright."""
    return EquivariantCanonicalizer(group, channels=chosen.shape[0])


if __name__ == "__main__":
    main()
