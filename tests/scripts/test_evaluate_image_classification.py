"""The evaluation script: the report of `evaluate_robustness`, from any data set, and written down."""

import shutil
from pathlib import Path

import pytest
import yaml
from datasets import load_dataset
from evaluate_image_classification import main
from transformers import AutoImageProcessor

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness


@pytest.fixture(scope="module")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="shift").save_pretrained(folder)
    AutoImageProcessor.from_pretrained(checkpoint).save_pretrained(folder)
    return folder


def figures(report: RobustnessReport) -> dict[str, object]:
    """All but the times, which are never the same."""
    return {name: value for name, value in report.to_dict().items() if name != "cost"}


def test_is_the_report_of_the_function(
    adapter: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    json_file, figure = tmp_path / "report.json", tmp_path / "report.png"
    words = ["--model", str(adapter), "--data", str(photos), "--transforms", "c4", "10", "-55", "--batch_size", "16"]
    report = main([*words, "--json", str(json_file), "--figure", str(figure)])
    expected = evaluate_robustness(
        CanonicalizedModel.from_pretrained(adapter),
        load_dataset(str(photos))["train"],
        transforms=["c4", 10, -55],
        processor=AutoImageProcessor.from_pretrained(adapter),
        batch_size=16,
    )
    assert report.items == 16 and report.labelled
    assert figures(report) == figures(expected) == figures(RobustnessReport.load(json_file))
    assert "upright tax" in capsys.readouterr().out
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_stream_gives_the_same_report(adapter: Path, photos: Path, table: Path, tmp_path: Path) -> None:
    words = ["--model", str(adapter), "--transforms", "c4"]
    folder = main([*words, "--data", str(photos)])
    from_table = [*words, "--data", str(table), "--label_column", "answer"]
    for more in ([], ["--streaming"]):
        report = main([*from_table, *more, "--figure", str(tmp_path / "report.png")])
        assert report.upright == folder.upright and report.sets == folder.sets
    assert main([*from_table, "--streaming", "--max_eval_samples", "5"]).items == 5


def test_a_checkpoint_needs_no_adapter(checkpoint: Path, photos: Path, tmp_path: Path) -> None:
    arguments = {"checkpoint": str(checkpoint), "group": "c8", "data": str(photos), "max_eval_samples": 4}
    file = tmp_path / "arguments.yaml"
    file.write_text(yaml.safe_dump(arguments))
    report = main([str(file)])
    assert (report.canonicalizer, report.items, list(report.sets)) == ("predictor", 4, ["c8"])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Give either --model, an adapter, or --checkpoint with --group"),
        (["--model", "a", "--checkpoint", "b"], "Give either --model, an adapter, or --checkpoint with --group"),
        (["--checkpoint", "b"], "'b' has no adapter that says.*say it, with --group c8"),
        (["--model", "a", "--group", "c4"], "'a' is an adapter and knows its group; leave out --group c4"),
        (["--model", "{adapter}", "--split", "night"], "has no split 'night'; choose from: train"),
        (["--model", "{adapter}", "--image_column", "photo"], "has no column 'photo'; choose from: image, label"),
        (["--model", "{adapter}", "--json", "report.txt"], "has to end in .json"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_refusals(adapter: Path, photos: Path, words: list[str], sentence: str) -> None:
    given = [word.format(adapter=adapter) for word in words]
    with pytest.raises((ValueError, OSError), match=sentence) as refusal:
        main(["--data", str(photos), *given])
    assert "\n" not in str(refusal.value)


def test_a_broken_image_is_named(adapter: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "dog", tmp_path / "photos" / "dog")
    (tmp_path / "photos" / "dog" / "130.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"130\.png.*cannot be read"):
        main(["--model", str(adapter), "--data", str(tmp_path / "photos")])
