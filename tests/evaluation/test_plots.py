import sys

import numpy as np
import pytest
from PIL import Image
from transformers import ViTImageProcessorPil

from hf_canon import evaluate_robustness
from hf_canon.evaluation import plot_report, plot_robustness, plot_strip

PROCESSOR = ViTImageProcessorPil(size={"height": 16, "width": 16})


@pytest.fixture
def photos():
    noise = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    return [Image.fromarray(image) for image in noise]


def drawn(path) -> np.ndarray:
    """The pixels of a figure: white at the border, and something in the middle."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert (pixels[0] == 255).all() and (pixels[:, 0] == 255).all(), "something runs over the edge"
    assert (pixels[-1] == 255).all() and (pixels[:, -1] == 255).all(), "something runs over the edge"
    assert (pixels != 255).any(-1).mean() > 0.02
    return pixels


@pytest.mark.covering("transforms", "baselines")
@pytest.mark.parametrize("transforms", ["c8", ["c4", 10, 20.5], ["d4", "c8", "d2", 77], [15]])
@pytest.mark.parametrize("baselines", [True, False])
def test_the_circle_is_drawn_for_every_report(wrap, items, transforms, baselines, tmp_path):
    report = evaluate_robustness(wrap("c8"), items, transforms, baselines=baselines)
    plot_robustness(report, tmp_path / "circle.png")
    pixels = drawn(tmp_path / "circle.png")
    circles = 2 if "d4" in np.ravel(transforms) else 1
    assert pixels.shape[1] == pytest.approx(688 * circles, abs=2)


def test_a_strip_takes_images_and_tensors(wrap, photos, x, tmp_path):
    model = wrap("d4", "orbit")
    plot_strip(model, photos[0], tmp_path / "one.png", processor=PROCESSOR, transforms="d4")
    plot_strip(model, photos, tmp_path / "two.png", processor=PROCESSOR, transforms=[0, 33], labels=[0, 1])
    plot_strip(model, x[:1, :], tmp_path / "tensor.png")
    one, two, _ = (drawn(tmp_path / f"{name}.png") for name in ("one", "two", "tensor"))
    assert two.shape[0] > one.shape[0] and two.shape[1] < one.shape[1]


def test_right_and_wrong_look_different_and_follow_the_labels(wrap, x, tmp_path):
    model = wrap("c4", 0)
    answer = int(model.predictor(pixel_values=x[:1]).logits.argmax())
    figures = {}
    for name, label in {"right": answer, "wrong": (answer + 1) % 5}.items():
        plot_strip(model, x[:1], tmp_path / f"{name}.png", transforms=[0], labels=[label])
        figures[name] = drawn(tmp_path / f"{name}.png").reshape(-1, 3)
    blue, vermillion = (0, 114, 178), (213, 94, 0)
    for name, color, other in (("right", blue, vermillion), ("wrong", vermillion, blue)):
        assert (figures[name] == color).all(1).sum() > 500
        assert (figures[name] == other).all(1).sum() == 0
    plot_strip(model, x[:1], tmp_path / "agreement.png", transforms=[0])
    assert np.array_equal(drawn(tmp_path / "agreement.png").reshape(-1, 3), figures["right"])


def test_a_image_is_shown_as_it_came(wrap, photos, tmp_path):
    white = Image.new("RGB", (16, 16), (255, 255, 255))
    plot_strip(wrap("c4", 0), white, tmp_path / "white.png", processor=PROCESSOR, transforms=[0])
    pixels = drawn(tmp_path / "white.png")
    assert (pixels != 255).any(-1).mean() < 0.2  # frames and words only


@pytest.mark.parametrize("group", ["c4", "so2"])
def test_both_fit_in_one_figure(wrap, items, photos, group, tmp_path):
    model = wrap(group)
    report = evaluate_robustness(model, items, ["c4", 10])
    plot_report(report, model, photos, tmp_path / "report.png", processor=PROCESSOR)
    drawn(tmp_path / "report.png")
    plot_report(report, model, photos[0], tmp_path / "report.svg", processor=PROCESSOR, labels=[1])
    assert (tmp_path / "report.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_as_many_labels_as_images(wrap, photos, tmp_path):
    with pytest.raises(ValueError, match="2 images and 1 labels"):
        plot_strip(wrap("c4"), photos, tmp_path / "strip.png", processor=PROCESSOR, labels=[1])


def test_figures_are_drawn_without_pyplot(wrap, items, tmp_path):
    sys.modules.pop("matplotlib.pyplot", None)
    plot_robustness(evaluate_robustness(wrap("c4"), items, "c4"), tmp_path / "circle.png")
    assert "matplotlib.pyplot" not in sys.modules
