import math

import pytest
import torch
from images import images
from transformers import (
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
)

from hf_canon import CanonicalizedModel, check_equivariance, get_group
from hf_canon.canonicalizers import build_canonicalizer
from hf_canon.groups import FinitePlanar, Images

TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
AUDIO = {"conv_dim": (8,), "conv_stride": (5,), "conv_kernel": (10,), "num_conv_pos_embeddings": 16}


@pytest.mark.parametrize("name", ["c1", "c2", "c4", "c8", "d1", "d2", "d3", "d4", "d8"])
def test_groups_act_exactly_where_they_say_so(name):
    assert check_equivariance(get_group(name)) == 0
    assert check_equivariance(get_group(name), images(2, 21)) == 0


def test_the_quarter_turns_of_so2_are_exact():
    assert check_equivariance(get_group("so2")) == 0


def test_a_wrong_composition_is_seen():
    class Confused(FinitePlanar):
        """equiadapt's defect: the order of mirror and turn differs between composing and acting."""

        def compose(self, a, b):
            return super().compose(b, a)

    assert check_equivariance(Confused(4, reflections=True)) > 0.1


def test_a_wrong_inverse_is_seen():
    class Confused(FinitePlanar):
        def inverse(self, element):
            return element

    assert check_equivariance(Confused(4, reflections=False)) > 0.1
    assert check_equivariance(Confused(2, reflections=True)) == 0


@pytest.mark.parametrize(
    ("name", "group"),
    [("orbit", "c4"), ("orbit", "d8"), ("equivariant", "c8"), ("equivariant", "d4"), ("shift", "c8"), ("shift", "d4")]
    + [("shift", "so2")],
)
def test_canonicalizers_move_their_logits_with_the_image(name, group):
    canonicalizer = build_canonicalizer(name, get_group(group))
    assert check_equivariance(canonicalizer) < 1e-4
    assert check_equivariance(canonicalizer.train(), images(2, 40)) < 1e-4
    assert canonicalizer.training


def test_a_canonicalizer_that_is_not_equivariant_is_seen(wrap):
    assert check_equivariance(wrap("c4", 1).canonicalizer) == 1


@pytest.mark.parametrize("group", ["c4", "d4", "c8", "so2"])
def test_a_model_answers_the_same_to_every_exact_turn(wrap, group):
    model = wrap(group, "shift")
    assert check_equivariance(model) < 1e-3  # so2 undoes an angle that is right up to rounding
    assert check_equivariance(model, images(3, 16)) < 1e-3


@pytest.mark.parametrize("canonicalizer", ["orbit", "equivariant", "shift", "predictor"])
def test_a_model_over_an_exact_group_hands_on_the_same_pixels(wrap, canonicalizer):
    assert check_equivariance(wrap("d4", canonicalizer), images(3, 16)) == 0


def test_a_model_that_does_nothing_is_seen_and_left_in_its_mode(wrap):
    model = wrap("c4", 0).train()
    assert check_equivariance(model, images(3, 16)) > 0.01
    assert model.training and not model.predictor.training


def test_not_a_number_is_not_taken_for_zero(wrap):
    x = images(2, 16)
    x[0, 0, 3, 5] = float("nan")
    for thing in (get_group("c4"), build_canonicalizer("shift", get_group("c4"))):
        assert math.isnan(check_equivariance(thing, x))
    with pytest.raises(ValueError, match=r"\[0\] hold NaN or infinite values"):
        check_equivariance(wrap("c4"), x)


def test_other_things_are_refused():
    with pytest.raises(ValueError, match="This is a Linear"):
        check_equivariance(torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="16 x 20"):
        check_equivariance(get_group("c4"), torch.rand(1, 3, 16, 20))


@pytest.mark.parametrize(
    "name", ["channels", "hue3", "d4*negative", "reverse", "polarity", "time_shift4", "reverse*polarity"]
)
def test_colours_and_clips(name: str) -> None:
    """Groups, canonicalizers and models of every kind are checked without inputs of one's own."""
    group = get_group(name)
    assert check_equivariance(group) < 1e-6
    assert check_equivariance(build_canonicalizer("orbit", group)) < 1e-4
    if isinstance(group.kind, Images):
        vit = ViTForImageClassification(ViTConfig(**TINY, image_size=32))
        processor = ViTImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
        model = CanonicalizedModel.wrap(vit, group=name, processor=processor)
    else:
        config = Wav2Vec2Config(**TINY, **AUDIO, num_conv_pos_embedding_groups=2)
        model = CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(config), group=name)
    assert check_equivariance(model) == 0.0
    model.canonicalizer.forward = lambda x, lengths=None: torch.eye(group.order)[torch.zeros(len(x), dtype=int)]
    assert check_equivariance(model) > 0


@pytest.mark.parametrize("name", ["gain", "speed12", "white_balance", "c3"])
def test_what_has_no_exact_element_is_not_said_to_be_exact(name: str) -> None:
    with pytest.raises(ValueError, match=f"No element of {name} but the identity is exact"):
        check_equivariance(get_group(name))
