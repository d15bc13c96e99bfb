"""Averages of answers: on the scale on which they mean something, and comparable with those that were not averaged."""

import pytest
import torch
from images import images
from transformers import CLIPConfig, CLIPModel, PreTrainedConfig

from hf_canon import CanonicalizedModel
from hf_canon.outputs import Members, averaged, scale_of

PAIR = Members(torch.tensor([0.25, 1.0]), torch.tensor([0]), torch.tensor([0.75]))
"""The first of two inputs has a second answer."""


def average(name: str, first: list, further: list, **config) -> torch.Tensor:
    first, further = torch.tensor(first), torch.tensor(further)
    return averaged(first, further, PAIR, scale_of(name, further, PreTrainedConfig(**config)))


def test_probabilities_of_classes_are_averaged_and_the_other_answer_is_left_to_the_bit() -> None:
    first, further = torch.randn(2, 5), torch.randn(1, 5)
    found = average("logits", first.tolist(), further.tolist())
    expected = 0.25 * first[0].softmax(0) + 0.75 * further[0].softmax(0)
    torch.testing.assert_close(found[0].softmax(0), expected)
    assert torch.equal(found[1], first[1])


@pytest.mark.parametrize(
    "config", [{"problem_type": "multi_label_classification"}, {"model_type": "siglip"}, {"model_type": "siglip2"}]
)
def test_each_text_of_siglip_and_each_of_several_labels_has_a_probability_of_its_own(config: dict[str, str]) -> None:
    first, further = torch.randn(2, 5), torch.randn(1, 5)
    found = average("logits_per_image", first.tolist(), further.tolist(), **config)
    torch.testing.assert_close(found[0].sigmoid(), 0.25 * first[0].sigmoid() + 0.75 * further[0].sigmoid())


@pytest.mark.parametrize("name", ["logits", "logits_per_image"])
def test_an_average_of_equals_is_what_it_was(name: str) -> None:
    """Also far out, where a probability has no digits left, and for one text alone."""
    for row in ([25.0, 20.0, 18.0], [-19.0, -17.0, -18.0], [31.0], [1.0, 60.0]):
        for config in ({}, {"problem_type": "multi_label_classification"}):
            found = average(name, [row, row], [row], **config)
            torch.testing.assert_close(found[0], torch.tensor(row), atol=2e-3, rtol=1e-4)


def test_one_number_is_a_number() -> None:
    assert average("logits", [[2.0], [0.0]], [[6.0]]).tolist() == [[5.0], [0.0]]
    assert average("predicted_depth", [[[2.0]], [[0.0]]], [[[6.0]]]).tolist() == [[[5.0]], [[0.0]]]


@torch.no_grad()
def test_images_and_words_stay_comparable() -> None:
    torch.manual_seed(0)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**text, "vocab_size": 32, "eos_token_id": 31, "bos_token_id": 30, "pad_token_id": 0},
        vision_config={**text, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        architectures=["CLIPModel"],
    )
    model = CanonicalizedModel.wrap(CLIPModel(config).eval(), group="c4")
    words = torch.tensor([[30, 5, 31], [30, 7, 31], [30, 9, 31]])
    x = images(4, 32)
    likely = model(pixel_values=x, input_ids=words)
    for loss in (False, True):
        some = words if not loss else torch.cat([words, words[:1]])
        out = model(pixel_values=x, input_ids=some, decision="orbit", return_loss=loss)
        assert torch.equal(out.logits_per_text, out.logits_per_image.t())
        away = (out.logits_per_image[:, :3] - likely.logits_per_image).abs().max()
        assert 0 < float(away) < float(likely.logits_per_image.abs().max())
    for g in range(4):
        turned = torch.rot90(x, g, (2, 3))
        again = model(pixel_values=turned, input_ids=words, decision="orbit")
        expected = model(pixel_values=x, input_ids=words, decision="orbit")
        torch.testing.assert_close(again.logits_per_image, expected.logits_per_image, atol=1e-5, rtol=0)
