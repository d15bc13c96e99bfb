"""The folder of an adapter: written as a whole or not at all, and completed with everything but the weights."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_NAME

from ..adaptation import ATTACHMENTS
from ..configuration_canonicalized import CanonicalizedConfig
from ..data.images import MODES
from ..groups import Images, Spectrograms, Waveforms, get_group
from ..groups.kinds import kind_from
from ..predictors.additions import LIFT
from ..predictors.hub_files import because
from ..quadratic.neuron import SECOND_ORDER
from ..reports.plots import plot_robustness
from ..reports.robustness import RobustnessReport
from ..selection import RULES
from .card import (
    PLOT_FILE,
    REPORT_FILE,
    RESULTS_FILE,
    SAMPLES_PLOT,
    AdapterFacts,
    is_untouched,
    render_card,
    results_yaml,
)

CARD_FILE = "README.md"
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
SAMPLER = "reference_sampler"
SAMPLER_CONFIG = f"{SAMPLER}/config.json"
SAMPLER_FILES = (SAMPLER_CONFIG, f"{SAMPLER}/{SAFE_WEIGHTS_NAME}", SAMPLES_PLOT)
"""A generator of upright samples in a subfolder of an adapter, which `hf_canon.generative` puts there."""
OWN = (*WEIGHTS, REPORT_FILE, PLOT_FILE, RESULTS_FILE, *SAMPLER_FILES)
"""What belongs to one state of an adapter: of an earlier state, nothing may stay beside a later one."""


def require_ours(
    folder: str | os.PathLike[str], ours: str = CanonicalizedConfig.model_type, noun: str = "an adapter"
) -> None:
    """Raise ValueError if that is the folder of a checkpoint that is not of our type, which saving would destroy."""
    config = Path(folder) / "config.json"
    if config.is_file() and model_type(config) != ours:
        raise ValueError(
            f"{os.fspath(folder)!r} holds a {model_type(config)} checkpoint, which {noun} would overwrite. "
            "Name another folder."
        )


def model_type(config: Path) -> str:
    try:
        return str(json.loads(config.read_text(encoding="utf-8")).get("model_type", "different"))
    except (ValueError, AttributeError):
        return "damaged"


@contextmanager
def staged_folder(target: str | os.PathLike[str]) -> Iterator[str]:
    """A folder whose files replace those in `target` when the block has ended well.

    Raises:
        OSError: `target` cannot be written.
    """
    target = Path(target)
    unchanged = ", and what was there is unchanged"
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=target, prefix=".saving-") as staging:
            yield staging
            files = [path.relative_to(staging) for path in Path(staging).rglob("*") if path.is_file()]
            stale = {path.relative_to(target) for pattern in OWN for path in target.glob(pattern)} - set(files)
            # safetensors lets only their owner read what it writes; a colleague may read what else is there.
            readable = max(((Path(staging) / file).stat().st_mode for file in files), default=0)
            unchanged = ""
            for file in stale:
                (target / file).unlink()
            # The configuration and the weights last, one after the other.
            for file in sorted(files, key=lambda file: (file.name in ("config.json", SAFE_WEIGHTS_NAME), file)):
                (Path(staging) / file).chmod(readable)
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                os.replace(Path(staging) / file, target / file)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"The adapter could not be saved in {str(target)!r}{unchanged}: {because(error)} "
            "Make room, or name another folder."
        ) from error


def complete_folder(
    folder: str | os.PathLike[str],
    target: str | os.PathLike[str],
    processor: dict[str, bytes],
    report: RobustnessReport | None = None,
    overwrite_card: bool = False,
) -> None:
    """Add to a configuration and weights what a reader wants: the processor, the report, the card.

    Args:
        folder: where configuration and weights are.
        target: where they will be. An edited card that is there stays; so does a processor for the same checkpoint,
            a report on the same weights and decision rule, and a reference sampler of the same kind of input.
        processor: the files, by name, that describe the checkpoint's processor.
        report: replaces a report that is there.
        overwrite_card: replace a card that somebody has edited.
    """
    folder, target = Path(folder), Path(target)
    config = CanonicalizedConfig.from_pretrained(folder)
    before = read_ours(target)
    same_base = before is not None and all(
        getattr(before, name) == getattr(config, name) for name in ("base_name_or_path", "base_revision")
    )
    for name, content in processor.items():
        if not (same_base and (target / name).exists()):
            (folder / name).write_bytes(content)
    if report is not None:
        if (report.group, report.canonicalizer) != (config.group, config.canonicalizer):
            raise ValueError(
                f"The report is of a {report.canonicalizer!r} canonicalizer over {report.group}, and this is "
                f"{config.canonicalizer!r} over {config.group}. Give the report of this model."
            )
        add_report(folder, report)
    elif before is not None and same_base and same_weights(folder, target) and same_decisions(before, config):
        for name in (REPORT_FILE, PLOT_FILE):
            if (target / name).exists():
                (folder / name).write_bytes((target / name).read_bytes())
    if describe_reference(target / SAMPLER_CONFIG, config) is not None:
        for name in SAMPLER_FILES:
            if (target / name).exists():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes((target / name).read_bytes())
    if overwrite_card or may_renew(target / CARD_FILE):
        write_card(folder, target.resolve().name)


def require_reference(generator: dict[str, Any], config: CanonicalizedConfig) -> None:
    """Raise ValueError if a generator cannot draw what an adapter's checkpoint reads, as it should be.

    Args:
        generator: its configuration.
        config: of the adapter.
    """
    drawn, read = kind_from(generator["kind"]), kind_from(config.input_kind)
    if generator["symmetry"] != "none":
        raise ValueError(
            f"This generator draws in all poses of {generator['group']}, and a reference shows what upright is. Train "
            "one with symmetry='none' on upright data."
        )
    # What is drawn goes through the checkpoint's processor, as other data do; a spectrogram is what that makes.
    heard = isinstance(drawn, Waveforms) and isinstance(read, Spectrograms)
    if not (isinstance(read, Images) if isinstance(drawn, Images) else drawn == read or heard):
        alike = ", of another kind" if type(drawn) is type(read) else ""
        raise ValueError(
            f"This generator draws {drawn.noun}, and the adapter's checkpoint reads {read.noun}{alike}. Train one on "
            "what it reads."
        )
    if isinstance(drawn, Images) and generator["shape"][0] not in MODES:
        raise ValueError(
            f"This generator draws images of {generator['shape'][0]} channels, and processors read images of 1, 3 "
            "or 4. Train one on such."
        )


def read_ours(folder: Path) -> CanonicalizedConfig | None:
    """The configuration of the adapter in a folder, if there is one."""
    config = folder / "config.json"
    if not config.is_file() or model_type(config) != CanonicalizedConfig.model_type:
        return None
    return CanonicalizedConfig.from_pretrained(folder)


def same_decisions(one: CanonicalizedConfig, other: CanonicalizedConfig) -> bool:
    """Whether two adapters of the same weights give the same answers."""
    if one.decision != other.decision:
        return False
    return RULES[one.decision].needs is None or one.calibration == other.calibration


def same_weights(one: Path, other: Path) -> bool:
    files = {path.name for pattern in WEIGHTS for path in one.glob(pattern)}
    return files == {path.name for pattern in WEIGHTS for path in other.glob(pattern)} and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in files
    )


def add_report(folder: Path, report: RobustnessReport) -> None:
    """Write the report of an evaluation, and its drawing, into an adapter's folder."""
    if not is_repository(report.model):  # a folder of this machine is nobody else's business
        report = replace(report, model=Path(report.model).name)
    report.save(folder / REPORT_FILE)
    plot_robustness(report, folder / PLOT_FILE)


def may_renew(card: Path) -> bool:
    """Whether a card is missing, or is one of ours that nobody edited."""
    return not card.exists() or is_untouched(card.read_text(encoding="utf-8", errors="replace"))


def write_card(folder: Path, name: str) -> None:
    """Write the card of the adapter in a folder, and its results where machines look for them.

    Args:
        folder: of the adapter.
        name: the repository or folder that the card is for.
    """
    facts = read_facts(folder, name)
    results = results_yaml(facts)
    if results is not None:
        (folder / RESULTS_FILE).parent.mkdir(exist_ok=True)
        (folder / RESULTS_FILE).write_text(yaml.safe_dump(results, sort_keys=False), encoding="utf-8")
    elif (folder / RESULTS_FILE).exists():  # of an earlier report
        (folder / RESULTS_FILE).unlink()
    (folder / CARD_FILE).write_text(render_card(facts), encoding="utf-8")


def read_facts(folder: str | os.PathLike[str], name: str) -> AdapterFacts:
    """What the files of an adapter say of it.

    Args:
        folder: of the adapter.
        name: the repository or folder that the card is for.

    Raises:
        ValueError: the weights are damaged.
    """
    folder = Path(folder)
    config = CanonicalizedConfig.from_pretrained(folder)
    group = get_group(config.group).on(kind_from(config.input_kind))
    parameters, size, second_order = count_weights(folder)
    report = None
    if (folder / REPORT_FILE).exists():
        with suppress(ValueError):  # a file of somebody else's that has this name
            report = RobustnessReport.load(folder / REPORT_FILE)
    base = config.base_name_or_path
    peft = (config.predictor_peft or {}).get("configs", {}).values()
    return AdapterFacts(
        name=name,
        task=config.task or "image-classification",
        base=base if base is not None and is_repository(base) else None,
        base_revision=config.base_revision,
        base_architecture=next(iter(getattr(config.base_config, "architectures", None) or []), None),
        group=group.name,
        meaning=group.meaning,
        elements=group.order if group.finite else None,
        exact=len(group.exact_elements) if group.finite else None,
        canonicalizer=config.canonicalizer,
        parameters=parameters,
        size=size,
        second_order=second_order,
        includes_predictor=config.includes_predictor,
        audio=not isinstance(group.kind, Images),
        peft=tuple(str(one["peft_type"]) for one in peft),
        attachments={
            ATTACHMENTS[kind].noun: ATTACHMENTS[kind].describe(settings)
            for kind, settings in (config.predictor_attachments or {}).items()
        },
        classes=config.num_labels,
        training=config.training,
        report=report,
        plot=report is not None and (folder / PLOT_FILE).exists(),
        calibration=config.calibration,
        decision=config.decision,
        reference=describe_reference(folder / SAMPLER_CONFIG, config),
    )


def describe_reference(sampler: Path, config: CanonicalizedConfig) -> str | None:
    """What a reference sampler draws, in a few words; None where there is none that fits.

    Args:
        sampler: the file of its configuration.
        config: of the adapter.
    """
    try:
        generator = json.loads(sampler.read_text(encoding="utf-8"))
        require_reference(generator, config)
        size = " x ".join(str(side) for side in generator["shape"])
        noun, samples = kind_from(generator["kind"]).noun, (generator.get("training") or {}).get("samples")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # or a file of somebody else's
        return None
    return f"{noun} of {size} numbers" + ("" if samples is None else f", learned from {samples:,} samples")


def count_weights(folder: Path) -> tuple[int, int, int]:
    """How many numbers the saved weights hold, their bytes on disk, and how many of the numbers are of second order.

    Raises:
        ValueError: a file is damaged.
    """
    parameters = size = second_order = 0
    for path in (path for pattern in WEIGHTS[:2] for path in folder.glob(pattern)):
        size += path.stat().st_size
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 (it is no dictionary)
                    count = 1
                    for side in file.get_slice(name).get_shape():
                        count *= side
                    parameters += count
                    if is_second_order(name):
                        second_order += count
        except SafetensorError as error:
            raise ValueError(f"The weights {path} are damaged ({error}). Save or download them again.") from error
    return parameters, size, second_order


def is_second_order(name: str) -> bool:
    """Whether saved weights of that name are those that quadratic neurons or a quadratic lift have in addition."""
    quadratic = name.startswith("canonicalizer.") and name.rpartition(".")[2] in SECOND_ORDER
    return quadratic or name.startswith(f"predictor.{LIFT}.")


def is_repository(name: str) -> bool:
    """Whether a name is the id of a Hub repository, and not the path of a folder."""
    return re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None and not Path(name).is_dir()
