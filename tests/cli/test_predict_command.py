import json
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from datasets import Image as ImageFeature
from PIL import Image
from transformers import (
    AutoImageProcessor,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
)

from hf_canon import CanonicalizedModel

ORIENTATION = 0x0112


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


def test_every_image_gets_a_line_with_the_answer_of_the_python_call(run, adapter, photos):
    code, out, _ = run("predict", adapter, photos / "dog" / "0.png", photos / "cat")
    assert code == 0
    assert [row[0] for row in rows(out)] == [
        str(photos / name) for name in ("dog/0.png", "cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png")
    ]
    model, processor = CanonicalizedModel.from_pretrained(adapter), AutoImageProcessor.from_pretrained(adapter)
    for file, label, probability, element, action in rows(out):
        with torch.no_grad():
            answer = model(**processor(Image.open(file), return_tensors="pt"))
        assert label == model.config.id2label[answer.logits.argmax().item()]
        assert float(probability) == pytest.approx(answer.logits.softmax(-1).max().item(), abs=1e-3)
        assert element == model.group.describe(answer.canonicalization.element.item())
        assert action == "canonicalized"


def test_a_turned_image_gives_the_same_answer_and_another_element(run, adapter, photos, tmp_path):
    upright = Image.open(photos / "dog" / "0.png")
    upright.rotate(90).save(tmp_path / "turned.png")
    _, out, _ = run("predict", adapter, photos / "dog" / "0.png", tmp_path / "turned.png")
    (_, label, probability, element, _), (_, label_turned, probability_turned, element_turned, _) = rows(out)
    assert (label_turned, probability_turned) == (label, probability)
    angle, angle_turned = (float(text.removesuffix("°")) for text in (element, element_turned))
    assert angle_turned == (angle + 90) % 360


def test_the_exif_orientation_is_honoured(run, checkpoint, image, tmp_path):
    upright = image(3, width=40, height=60)
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # stored a quarter turn counter-clockwise of how it is to be shown
    upright.rotate(90, expand=True).save(tmp_path / "phone.png", exif=exif)
    _, out, _ = run("predict", checkpoint, "--group", "c4", tmp_path / "upright.png", tmp_path / "phone.png")
    first, second = rows(out)
    assert first[1:] == second[1:]


def test_a_broken_image_is_named_and_the_rest_go_on(run, adapter, photos):
    (photos / "cat" / "1.png").write_bytes(b"no image")
    (photos / "cat" / "2.png").write_bytes((photos / "cat" / "2.png").read_bytes()[:300])
    code, out, err = run("predict", adapter, photos / "cat")
    assert code == 2
    assert [row[0] for row in rows(out)] == [str(photos / "cat/0.png"), str(photos / "cat/3.png")]
    complaints = [line for line in re.split(r"[\r\n]", err) if line.startswith("hf-canon predict: ")]
    assert complaints[0].endswith(f"The image '{photos / 'cat/1.png'}' cannot be read: it is no image, or is damaged.")
    assert "2.png' cannot be read: " in complaints[1] and len(complaints) == 2


@pytest.mark.parametrize("name", ["nowhere.png", "nowhere/"])
def test_a_file_that_is_not_there_is_refused(refuses, adapter, name):
    assert f"There is no image file or folder {name!r}." in refuses("predict", adapter, name)


def test_a_folder_without_images_is_refused(refuses, adapter, tmp_path):
    assert "There is no image in the folder" in refuses("predict", adapter, tmp_path)


def test_an_oblong_input_is_refused_with_the_group_that_fits(refuses, oblong_checkpoint, photos):
    sentence = refuses("predict", oblong_checkpoint, "--group", "c4", photos)
    assert "this input is 32 x 64" in sentence and "'c2'" in sentence


def test_an_adapter_without_processor_is_refused(refuses, adapter, photos, tmp_path):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((adapter / name).read_bytes())
    assert "has no image processor" in refuses("predict", tmp_path, photos)


@pytest.mark.slow
def test_python_m_hf_canon_is_the_same_command(adapter, photos):
    done = subprocess.run(
        [sys.executable, "-m", "hf_canon", "predict", str(adapter), str(photos / "dog" / "0.png")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert len(rows(done.stdout)[0]) == 5


def answers(folder):
    parts = sorted(folder.glob("*.parquet"))
    return [row for part in parts for row in pq.read_table(part).to_pylist()]


def test_a_data_set_is_answered_as_its_images_are(run, adapter, photos, tmp_path):
    (photos / "cat" / "1.png").write_bytes(b"no image")
    _, lines, _ = run("predict", adapter, photos)
    code, out, _ = run(
        "predict", adapter, "--data", photos, "--output", tmp_path / "new" / "out", "--rows-per-part", 5
    )
    assert code == 0
    assert out.startswith("12 rows, 1 errors, ")
    found = answers(tmp_path / "new" / "out")
    assert len(list((tmp_path / "new" / "out").glob("*.parquet"))) == 3
    assert [row["index"] for row in found] == list(range(12))
    readable = [row for row in found if row["error"] is None]
    columns = [[row["image"], row["label"], f"{row['probability']:.3f}"] for row in readable]
    done = [[row["element"], row["action"]] for row in readable]
    assert [one + other for one, other in zip(columns, done, strict=True)] == rows(lines)
    (broken,) = [row for row in found if row["error"] is not None]
    assert broken["image"] == str(photos / "cat" / "1.png")
    assert broken["error"] == "The image cannot be read: it is no image, or is damaged."


def test_the_same_command_again_goes_on_or_says_that_it_is_done(run, refuses, adapter, photos, tmp_path):
    command = ("predict", adapter, "--data", photos, "--output", tmp_path / "out")
    run(*command, "--rows-per-part", 5)
    before = answers(tmp_path / "out")
    (tmp_path / "out" / "part-000001.parquet").unlink()
    code, out, _ = run(*command, "--rows-per-part", 5)
    assert code == 0 and "(7 were answered already)" in out
    code, out, _ = run(*command, "--rows-per-part", 5)
    assert (code, out) == (0, "12 rows, 0 errors; all were answered already.\n")
    assert answers(tmp_path / "out") == before
    assert "were begun with rows_per_part 5, and this run has 10000" in refuses(*command)


@pytest.mark.parametrize("kind", ["folder", "parquet", "saved", "csv"])
def test_a_stream_gets_the_answers_of_a_table(run, adapter, photos, image, tmp_path, kind):
    table = Dataset.from_list([{"number": i, "shot": image(i)} for i in range(7)])
    table = table.cast_column("shot", ImageFeature())
    columns = ("--columns", "number")
    if kind == "folder":
        data, columns = photos, ("--columns", "image")
    elif kind == "parquet":
        data = tmp_path / "shots.parquet"
        table.to_parquet(data)
    elif kind == "saved":
        data = tmp_path / "saved"
        table.save_to_disk(data)
    else:
        data = tmp_path / "table.csv"
        data.write_text("number,file\n" + "".join(f"{i},photos/dog/{i}.png\n" for i in range(4)))
    command = ("predict", adapter, "--data", data, *columns, "--batch-size", 2)
    assert run(*command, "--output", tmp_path / "table").code == 0
    assert run(*command, "--output", tmp_path / "stream", "--streaming").code == 0
    found = answers(tmp_path / "table")
    assert found and answers(tmp_path / "stream") == found
    assert all(row["error"] is None for row in found)
    manifest = json.loads((tmp_path / "stream" / "manifest.json").read_text())
    streamed = kind in ("folder", "parquet")  # the others are ready to be read at any place
    assert (manifest["belongs_to"]["data_rows"] is None) == streamed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name images, or a data set"),
        (["photo.jpg", "--data", "photos", "--output", "out"], "and not both"),
        (["--data", "photos"], "belong together"),
        (["photo.jpg", "--output", "out"], "belong together"),
    ],
)
def test_images_and_a_data_set_are_two_things(refuses, adapter, words, sentence):
    assert sentence in refuses("predict", adapter, *words)


def test_answers_do_not_go_where_something_else_is(refuses, adapter, photos, tmp_path):
    command = ("predict", adapter, "--data", photos, "--output")
    assert "holds something else than answers" in refuses(*command, photos)
    assert "cannot be made" in refuses(*command, photos / "dog" / "0.png")
    sentence = refuses(*command, tmp_path / "out", "--columns", "label")
    assert "have a column 'label' of their own" in sentence
    assert "has no split 'test'; choose" in refuses(*command, tmp_path / "out", "--split", "test")


def test_what_gives_no_class_is_evaluated_and_not_printed(run, refuses, tmp_path, photos):
    config = SegformerConfig(depths=[1] * 4, hidden_sizes=[8] * 4, decoder_hidden_size=8)
    SegformerForSemanticSegmentation(config).save_pretrained(tmp_path / "segmenter")
    SegformerImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "segmenter")
    CanonicalizedModel.wrap(tmp_path / "segmenter", group="c4").save_pretrained(tmp_path / "adapter")
    image = next(photos.rglob("*.png"))
    assert "a model for image-segmentation, and this command prints a class" in refuses(
        "predict", tmp_path / "adapter", image
    )
    answers = ["--data", photos, "--output", tmp_path / "answers"]
    assert "Answers are written as a class" in refuses("predict", tmp_path / "adapter", *answers)
    evaluated = run("evaluate", tmp_path / "adapter", "--data", photos)
    assert evaluated.code == 0 and "mean IoU with the untouched" in evaluated.out
