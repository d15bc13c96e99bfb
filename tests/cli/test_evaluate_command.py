import json

import pytest
from PIL import Image

from hf_canon import RobustnessReport


def test_an_adapter_is_evaluated_and_the_report_and_the_figure_are_written(run, adapter, photos, tmp_path):
    code, out, _ = run(
        "evaluate", adapter, "--data", photos, "--json", tmp_path / "r.json", "--figure", tmp_path / "f.png"
    )
    assert code == 0
    report = RobustnessReport.load(tmp_path / "r.json")
    assert str(report) == out.rstrip("\n")
    assert report.labelled and report.items == 12
    assert len(report.sets["c8"].transforms) == 8  # the group of the adapter
    with Image.open(tmp_path / "f.png") as figure:
        assert min(figure.size) > 400


def test_a_page_is_written(run, adapter, photos, tmp_path):
    code, out, _ = run("evaluate", adapter, "--data", photos, "--transforms", "c4", "--report", tmp_path / "page")
    assert code == 0 and str(tmp_path / "page" / "index.html") in out
    report = RobustnessReport.load(tmp_path / "page" / "report.json")
    assert str(report) in out and report.diagnosis.diversity.by == "labels"
    assert "<h1>" in (tmp_path / "page" / "index.html").read_text()


def test_a_folder_with_somebody_elses_page_is_refused_first(refuses, photos, tmp_path):
    (tmp_path / "index.html").write_text("<h1>My site</h1>")
    sentence = refuses("evaluate", "no/checkpoint/at/all", "--data", photos, "--report", tmp_path)
    assert "is there already and is no report of ours" in sentence
    assert (tmp_path / "index.html").read_text() == "<h1>My site</h1>"


def test_a_checkpoint_needs_no_training(run, checkpoint, photos, tmp_path):
    code, _, _ = run(
        "evaluate", checkpoint, "--group", "c4", "--data", photos, "--transforms", "d2", "10", "-20",
        "--json", tmp_path / "r.json", "--batch-size", "5",
    )  # fmt: skip
    assert code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["canonicalizer"] == "predictor"
    assert set(report["sets"]) == {"d2", "angles"}
    assert [row["angle"] for row in report["sets"]["angles"]["transforms"]] == [10, 340]


def test_images_without_classes_are_measured_by_agreement(run, adapter, image, tmp_path):
    (tmp_path / "flat").mkdir()
    for seed in range(3):
        image(seed).save(tmp_path / "flat" / f"{seed}.png")
    code, out, _ = run("evaluate", adapter, "--data", tmp_path / "flat")
    assert code == 0
    assert "agreement" in out and "3 images" in out


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--transforms", "b4"], "There is no group 'b4'. Known groups: c<n>"),
        (["--split", "nonsense"], "has no split 'nonsense'; choose with --split from: train."),
        (["--json", "/nowhere/report.json"], "there is no folder '/nowhere'"),
        (["--json", "report.txt"], "The name 'report.txt' has to end in .json."),
        (["--figure", "circle.gif"], "The name 'circle.gif' has to end in .png or .pdf or .svg."),
        (["--group", "c4"], "is an adapter and knows its group; leave out --group c4."),
    ],
)
def test_flags_that_cannot_work_are_refused(refuses, adapter, photos, flags, sentence):
    assert sentence in refuses("evaluate", adapter, "--data", photos, *flags)


def test_a_checkpoint_without_group_is_refused(refuses, checkpoint, photos):
    assert "--group c8" in refuses("evaluate", checkpoint, "--data", photos)


def test_a_file_where_a_figure_cannot_be_written_is_refused(refuses, adapter, photos, tmp_path):
    (tmp_path / "f.png").mkdir()
    assert "cannot be written" in refuses("evaluate", adapter, "--data", photos, "--figure", tmp_path / "f.png")


def test_classes_that_the_checkpoint_does_not_have_are_refused(refuses, adapter, photos):
    (photos / "cat").rename(photos / "cow")
    sentence = refuses("evaluate", adapter, "--data", photos)
    assert "The checkpoint has no class 'cow'" in sentence and "'bird', 'cat', 'dog'" in sentence


@pytest.mark.parametrize("batch_size", ["0", "-3", "2.5", "many"])
def test_a_batch_size_that_is_none_is_refused_by_the_parser(run, adapter, photos, batch_size):
    code, _, err = run("evaluate", adapter, "--data", photos, "--batch-size", batch_size)
    assert code == 2 and f"argument --batch-size: '{batch_size}' is not" in err
