"""A visitor's image: opened within limits, moved by hand, answered as the model answers."""

import numpy as np
import pytest
import torch
from demo.conftest import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_canon.demo import image as images
from hf_canon.demo.answering import classes
from hf_canon.demo.image import MOST_PIXELS, answer_image, open_image, transformed
from hf_canon.selection import Action

RULES = ("argmax", "conformal", "orbit", "identity", "abstain")


def same(a: Image.Image, b: Image.Image) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b))


def test_a_phone_photo_is_upright(tmp_path):
    upright = draw(0)
    exif = Image.Exif()
    for orientation, lying in (
        (3, upright.transpose(Image.Transpose.ROTATE_180)),
        (6, upright.transpose(Image.Transpose.ROTATE_90)),
        (8, upright.transpose(Image.Transpose.ROTATE_270)),
        (2, upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ):
        exif[0x0112] = orientation
        lying.save(tmp_path / "photo.png", exif=exif)
        assert same(open_image(tmp_path / "photo.png", "RGB"), upright)


def test_what_is_seen_through_is_on_white_and_what_is_long_is_cut(tmp_path):
    Image.new("RGBA", (8, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    image = open_image(tmp_path / "clear.png", "RGB")
    assert image.size == (4, 4)
    assert np.asarray(image).min() == 255
    palette = draw(1).quantize(8)
    palette.save(tmp_path / "palette.gif", transparency=0)
    assert open_image(tmp_path / "palette.gif", "L").mode == "L"


def test_too_many_pixels_and_what_is_no_image_are_refused_in_a_sentence(tmp_path):
    side = int(MOST_PIXELS**0.5) + 1
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    with pytest.raises(ValueError, match=f"{side} x {side} pixels.*50 million. Scale it down"):
        open_image(tmp_path / "huge.png", "RGB")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(ValueError, match="cannot be read: it is no image, or is damaged."):
        open_image(tmp_path / "text.png", "RGB")
    draw(0).save(tmp_path / "half.jpg")
    whole = (tmp_path / "half.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        open_image(tmp_path / "half.jpg", "RGB")


@settings(max_examples=25, deadline=None)
@given(
    a=st.sampled_from([-180, -90, 0, 90, 180]),
    b=st.sampled_from([-180, -90, 0, 90, 180]),
    side=st.integers(1, 40),
    grey=st.booleans(),
)
def test_quarter_turns_move_pixels_and_add_up(a, b, side, grey):
    image = draw(a + b + side, side).convert("L" if grey else "RGB")
    assert same(transformed(transformed(image, turn=a), turn=b), transformed(image, turn=a + b))
    # Counter-clockwise, as the groups count, and mirrored before it is turned.
    assert np.array_equal(np.asarray(transformed(image, turn=a)), np.rot90(np.asarray(image), a // 90 % 4))
    mirrored = transformed(image, turn=a, mirror=True)
    assert same(transformed(mirrored, turn=-a), transformed(image, mirror=True))


def test_colours_change_places_and_a_third_of_a_turn_of_hue_is_an_order_of_channels():
    image = draw(3)
    assert same(transformed(transformed(image, channels="GBR"), channels="BRG"), image)
    assert same(transformed(image, tint=120), transformed(image, channels="BRG"))
    assert same(transformed(image, tint=360), image)
    grey = image.convert("L")
    assert same(transformed(grey, channels="BGR", tint=50), grey)  # which has none


def test_the_corners_of_other_turns_take_the_colour_of_the_border():
    image = Image.new("RGB", (21, 21), (10, 200, 30))
    image.paste((255, 0, 0), (8, 8, 13, 13))
    turned = transformed(image, turn=45)
    assert turned.size == image.size
    assert turned.getpixel((0, 0)) == (10, 200, 30)


@pytest.mark.parametrize("rule", RULES)
def test_both_answers_are_those_of_the_model(opened, rule):
    for seed in range(6):
        image = transformed(draw(seed), turn=90 * seed, mirror=seed % 2 == 0)
        answer, before, after = answer_image(opened, image, rule)
        x = opened.processor(image, return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            alone, behind = (
                opened.model(pixel_values=x, canonicalize=False),
                opened.model(pixel_values=x, decision=rule),
            )
        assert list(answer.before.values()) == alone.logits[0].softmax(-1).tolist()
        assert list(answer.after.values()) == behind.logits[0].softmax(-1).tolist()
        assert list(answer.after) == ["bird", "cat", "dog"]
        said = behind.canonicalization
        assert answer.element == opened.model.group.describe(said.element.item())
        assert answer.action == Action(said.action.item())
        assert answer.left_open == said.size.item()
        record = answer.record()
        assert record["passes"] == said.passes.item()
        assert record["abstained"] == said.abstained.item()
        apart = ["finding and undoing", "checkpoint again"]
        together = ["finding, undoing and asking"]
        parts = together if rule in ("conformal", "orbit") else apart
        assert list(record["milliseconds"]) == ["checkpoint alone", *parts]
        assert max(before.size) == max(after.size) == images.SHOWN


def test_over_an_exact_group_every_move_has_one_answer(opened):
    """And what is shown as canonical is one image."""
    answers = [
        answer_image(opened, transformed(draw(7, 32), turn=turn, mirror=mirror), None)
        for turn in (0, 90, 180, -90)
        for mirror in (False, True)
    ]
    said, _, shown = answers[0]
    for other, _, canonical in answers:
        assert other.after == said.after
        assert same(canonical, shown)
    assert len({tuple(other.before.values()) for other, _, _ in answers}) > 1


def test_classes_that_may_be_true_together_are_not_shares_of_one(opened, monkeypatch):
    logits = torch.tensor([[2.0, 1.0, -1.0]])
    assert sum(classes(opened.model, logits).values()) == pytest.approx(1)
    monkeypatch.setattr(opened.model.predictor.config, "problem_type", "multi_label_classification")
    assert list(classes(opened.model, logits).values()) == pytest.approx(logits[0].sigmoid().tolist())


def test_classes_of_one_name_are_one_class(opened, monkeypatch):
    monkeypatch.setattr(opened.model.config, "id2label", {0: "crane", 1: "dog", 2: "crane"})
    said = classes(opened.model, torch.tensor([[1.0, 1.0, 1.0]]))
    assert said == pytest.approx({"crane": 2 / 3, "dog": 1 / 3})
