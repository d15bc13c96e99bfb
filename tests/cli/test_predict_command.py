import re
import subprocess
import sys

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from hf_canon import CanonicalizedModel

ORIENTATION = 0x0112


def rows(out):
    return [line.split("\t") for line in out.splitlines()]


def test_every_picture_gets_a_line_with_the_answer_of_the_python_call(run, adapter, photos):
    code, out, _ = run("predict", adapter, photos / "dog" / "0.png", photos / "cat")
    assert code == 0
    assert [row[0] for row in rows(out)] == [
        str(photos / name) for name in ("dog/0.png", "cat/0.png", "cat/1.png", "cat/2.png", "cat/3.png")
    ]
    model, processor = CanonicalizedModel.from_pretrained(adapter), AutoImageProcessor.from_pretrained(adapter)
    for file, label, probability, element in rows(out):
        with torch.no_grad():
            answer = model(**processor(Image.open(file), return_tensors="pt"))
        assert label == model.config.id2label[answer.logits.argmax().item()]
        assert float(probability) == pytest.approx(answer.logits.softmax(-1).max().item(), abs=1e-3)
        assert element == model.group.describe(answer.canonicalization.element.item())


def test_a_turned_picture_gives_the_same_answer_and_another_element(run, adapter, photos, tmp_path):
    upright = Image.open(photos / "dog" / "0.png")
    upright.rotate(90).save(tmp_path / "turned.png")
    _, out, _ = run("predict", adapter, photos / "dog" / "0.png", tmp_path / "turned.png")
    (_, label, probability, element), (_, label_turned, probability_turned, element_turned) = rows(out)
    assert (label_turned, probability_turned) == (label, probability)
    angle, angle_turned = (float(text.removesuffix("°")) for text in (element, element_turned))
    assert angle_turned == (angle + 90) % 360


def test_the_exif_orientation_is_honoured(run, checkpoint, picture, tmp_path):
    upright = picture(3, width=40, height=60)
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


def test_python_m_hf_canon_is_the_same_command(adapter, photos):
    done = subprocess.run(
        [sys.executable, "-m", "hf_canon", "predict", str(adapter), str(photos / "dog" / "0.png")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert len(rows(done.stdout)[0]) == 4
