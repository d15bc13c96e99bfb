"""Every decision rule: what it asks the predictor about, and that it transforms with the input where it says so."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from images import images
from torch import Tensor
from transformers import (
    DetrConfig,
    DetrForObjectDetection,
    ResNetConfig,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
)

from hf_canon import CanonicalizedModel, get_group
from hf_canon.selection import RULES, Action, Calibration, rank
from hf_canon.selection.conformal import set_size

SIZE = 32
EXACT = ["c2", "c4", "d4", "negative", "channels", "d4*negative"]


def calibration(**changes) -> dict:
    known = {
        "temperature": 0.5,
        "alpha": 0.2,
        "threshold": 0.4,
        "harm": 0.1,
        "confidence": 0.5,
        "items": 40,
        "fitted": 10,
        "labelled": True,
        "harm_of_argmax": 0.1,
        "acts_on": 0.5,
        "canonicalizer": None,
        "predictor": None,
        "data": {},
        "seen": {},
    }
    return known | changes


@pytest.fixture(scope="module")
def vit() -> ViTForImageClassification:
    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=SIZE,
        patch_size=8, num_labels=5, initializer_range=0.5, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    return ViTForImageClassification(config).eval()


@pytest.fixture(scope="module")
def segmenter() -> SegformerForSemanticSegmentation:
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16], num_attention_heads=[1, 2],
        patch_sizes=[7, 3], strides=[4, 2], mlp_ratios=[2, 2], decoder_hidden_size=16, num_labels=3,
        architectures=["SegformerForSemanticSegmentation"],
    )  # fmt: skip
    return SegformerForSemanticSegmentation(config).eval()


PROCESSOR = ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})
"""Says how images are normalized, which groups of colours ask for."""


def wrapped(predictor, group: str, **changes) -> CanonicalizedModel:
    torch.manual_seed(0)
    model = CanonicalizedModel.wrap(predictor, group=get_group(group), canonicalizer="orbit", processor=PROCESSOR)
    model.config.calibration = calibration(**changes)
    return model


def orbit_of(model: CanonicalizedModel, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(g.expand(len(x)), model.group.act(x, g.expand(len(x)))) for g in model.group.exact_elements]


@pytest.mark.parametrize("group", EXACT)
@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.invariant])
@torch.no_grad()
def test_a_rule_that_says_so_is_invariant_over_every_element(vit, group, name):
    model = wrapped(vit, group)
    x = images(6, SIZE)
    expected = model(pixel_values=x, decision=name)
    found = expected.canonicalization
    for g, transformed in orbit_of(model, x):
        out = model(pixel_values=transformed, decision=name)
        here = out.canonicalization
        torch.testing.assert_close(out.logits, expected.logits, atol=2e-5, rtol=0)
        assert torch.equal(here.passes, found.passes)
        assert torch.equal(here.size, found.size)
        assert torch.equal(here.action, found.action)
        torch.testing.assert_close(here.confidence, found.confidence, atol=1e-5, rtol=0)
        # The set transforms with the input: h is in that of x where g h is in that of g x.
        elements = model.group.elements
        where = model.group.compose(g[:, None], elements[None])
        assert torch.equal(here.set.gather(1, where), found.set)


@torch.no_grad()
def test_the_identity_rule_is_the_one_that_is_not(vit):
    assert [name for name, rule in RULES.items() if not rule.invariant] == ["identity"]
    model = wrapped(vit, "c4", confidence=1.0)  # never acts
    x = images(4, SIZE)
    for _, transformed in orbit_of(model, x):
        out = model(pixel_values=transformed, decision="identity")
        assert torch.equal(out.logits, vit(pixel_values=transformed).logits)
        assert out.canonicalization.actions == ["left alone"] * 4
        assert not out.canonicalization.element.any()


@torch.no_grad()
def test_below_the_threshold_identity_leaves_alone_and_abstain_flags(vit):
    model = wrapped(vit, "d4")
    x = images(40, SIZE)
    likely = model(pixel_values=x)
    sure = likely.canonicalization.confidence
    middle = float(sure.median())
    model = wrapped(vit, "d4", confidence=middle)
    left, flagged = (model(pixel_values=x, decision=name) for name in ("identity", "abstain"))
    acted = sure > middle
    assert acted.any() and not acted.all()
    assert torch.equal(flagged.canonicalization.abstained, ~acted)
    assert torch.equal(flagged.logits, likely.logits)
    untouched = vit(pixel_values=x).logits
    torch.testing.assert_close(left.logits, torch.where(acted[:, None], likely.logits, untouched), atol=1e-5, rtol=0)
    assert set(left.canonicalization.actions) == {"canonicalized", "left alone"}
    assert set(flagged.canonicalization.actions) == {"canonicalized", "abstained"}


@torch.no_grad()
def test_one_element_in_the_set_is_the_answer_of_argmax_to_the_bit(vit):
    model = wrapped(vit, "d4", threshold=0.35)
    x = images(32, SIZE)
    likely, conformal = model(pixel_values=x), model(pixel_values=x, decision="conformal")
    alone = conformal.canonicalization.size == 1
    assert alone.any() and not alone.all()
    assert torch.equal(conformal.logits[alone], likely.logits[alone])
    assert not torch.equal(conformal.logits[~alone], likely.logits[~alone])
    assert torch.equal(conformal.canonicalization.passes, conformal.canonicalization.size)
    assert set(conformal.canonicalization.actions) == {"canonicalized", "averaged"}


@torch.no_grad()
def test_the_predictor_is_asked_once_more_and_only_about_what_needs_it(vit):
    model = wrapped(vit, "d4", threshold=0.35)
    x = images(32, SIZE)
    asked = []
    handle = vit.register_forward_pre_hook(
        lambda _, __, given: asked.append(len(given["pixel_values"])), with_kwargs=True
    )
    try:
        out = model(pixel_values=x, decision="conformal")
    finally:
        handle.remove()
    assert asked == [32, int(out.canonicalization.passes.sum()) - 32]


@pytest.mark.parametrize("group", ["c4", "channels"])
@torch.no_grad()
def test_averages_are_those_of_weighted_frames(vit, group):
    """Against the sum over the orbit, written out."""
    model = wrapped(vit, group)
    x = images(5, SIZE)
    for name in ("conformal", "orbit"):
        out = model(pixel_values=x, decision=name)
        found = out.canonicalization
        weights = found.probabilities * (found.set if name == "conformal" else 1)
        weights = weights / weights.sum(1, keepdim=True)
        expected, level = torch.zeros(5, 5), torch.zeros(5)
        for g in model.group.elements:
            logits = vit(pixel_values=model.group.act(x, model.group.inverse(g.expand(5)))).logits
            expected += weights[:, g : g + 1] * logits.softmax(1)
            level += weights[:, g] * logits.logsumexp(1)
        torch.testing.assert_close(out.logits.softmax(1), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(out.logits.logsumexp(1), level, atol=1e-4, rtol=0)  # so answers stay comparable


@torch.no_grad()
def test_a_symmetric_input_has_its_whole_coset_in_the_set_and_an_answer_that_is_as_symmetric(segmenter):
    """A ball: every element of the stabilizer ties. Argmax has to choose, and its map is turned; an average is not."""
    model = wrapped(segmenter, "c4")
    ball = sum(torch.rot90(images(3, SIZE), k, (2, 3)) for k in range(4)) / 4
    half = images(3, SIZE)
    half = half + torch.rot90(half, 2, (2, 3))  # fixed by the half turn alone
    for name in ("conformal", "orbit"):
        for x, stabilizer in ((ball, 4), (half, 2)):
            out = model(pixel_values=x, decision=name)
            assert bool((out.canonicalization.set.sum(1) % stabilizer == 0).all())
            maps = out.logits.softmax(1)
            turned = torch.rot90(maps, 4 // stabilizer, (2, 3))
            torch.testing.assert_close(turned, maps, atol=1e-5, rtol=0)
    out = model(pixel_values=ball)
    assert not torch.allclose(torch.rot90(out.logits, 1, (2, 3)), out.logits, atol=1e-3)


@torch.no_grad()
def test_maps_are_carried_back_before_they_are_averaged(segmenter):
    model = wrapped(segmenter, "d4")
    x = images(2, SIZE)
    expected = model(pixel_values=x, decision="orbit").logits.softmax(1)
    for g, transformed in orbit_of(model, x):
        maps = model(pixel_values=transformed, decision="orbit").logits.softmax(1)
        torch.testing.assert_close(maps, model.group.act(expected, g), atol=1e-5, rtol=0)


@torch.no_grad()
def test_clips_of_several_lengths_are_averaged_too():
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,),
        conv_stride=(5,), conv_kernel=(10,), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer", num_labels=3, initializer_range=0.5,
        architectures=["Wav2Vec2ForSequenceClassification"],
    )  # fmt: skip
    model = CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(config).eval(), group="reverse*polarity")
    x = torch.randn(3, 900)
    mask = (torch.arange(900) < torch.tensor([[900], [700], [500]])).long()
    x = x * mask
    expected = model(input_values=x, attention_mask=mask, decision="orbit")
    assert expected.canonicalization.passes.tolist() == [4, 4, 4]
    lengths = mask.sum(1)
    for g in model.group.elements:
        transformed = model.group.act(x, g.expand(3), lengths)
        out = model(input_values=transformed, attention_mask=mask, decision="orbit")
        torch.testing.assert_close(out.logits, expected.logits, atol=2e-5, rtol=0)


@torch.no_grad()
def test_modes_of_a_continuous_group_move_with_quarter_turns(vit):
    torch.manual_seed(0)
    model = CanonicalizedModel.wrap(vit, group="so2", canonicalizer="shift")
    model.config.calibration = calibration(temperature=0.2)  # an untrained posterior is flat
    x = images(6, SIZE)
    expected = model(pixel_values=x, decision="conformal")
    assert bool((expected.canonicalization.passes > 1).any())
    for g, transformed in orbit_of(model, x):
        out = model(pixel_values=transformed, decision="conformal")
        assert torch.equal(out.canonicalization.size, expected.canonicalization.size)
        torch.testing.assert_close(out.logits, expected.logits, atol=1e-3, rtol=0)
        away = model.group.wrap(out.canonicalization.element - expected.canonicalization.element - g)
        assert float(away.abs().max()) < 1e-3


@given(
    heights=st.lists(st.lists(st.floats(-6, 6, width=32), min_size=24, max_size=24), min_size=1, max_size=4),
    name=st.sampled_from(["so2", "speed12", "hue"]),
)
@settings(max_examples=60, deadline=None)
def test_modes_share_out_all_of_the_posterior(heights, name):
    group = get_group(name)
    probabilities = torch.tensor(heights).softmax(1)
    parameters = group.grid(24)
    best = parameters[probabilities.argmax(1)]
    ranking = rank(probabilities, group, best)
    torch.testing.assert_close(ranking.probability.sum(1), torch.ones(len(heights)))
    assert torch.equal(ranking.element[:, 0], best)
    assert bool((ranking.probability[:, 1:].diff(dim=1) <= 0).all())
    # Each bin belongs to a mode that is no farther away than the tolerance, and modes are farther apart than that.
    modes = ranking.element.gather(1, ranking.place)
    assert float(group.wrap(modes - parameters).abs().max()) <= group.tolerance + 1e-5
    for row, mass in zip(ranking.element, ranking.probability, strict=True):
        there = row[mass > 0]
        apart = group.wrap(there[:, None] - there).abs() + 10 * group.tolerance * torch.eye(len(there))
        assert float(apart.min()) > group.tolerance - 1e-5


def test_answers_that_cannot_be_averaged_are_refused_with_what_can_be_done():
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, num_queries=4, d_model=16, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        backbone=None, backbone_config=ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"]
        ),
    )  # fmt: skip
    model = wrapped(DetrForObjectDetection(config).eval(), "c4")
    x = images(1, SIZE)
    for name in ("conformal", "orbit"):
        with pytest.raises(ValueError, match="cannot be averaged.*Use 'argmax'"):
            model(pixel_values=x, decision=name)
    assert model(pixel_values=x, decision="abstain").canonicalization.abstained.shape == (1,)


def test_what_a_rule_needs_is_asked_for_in_a_sentence(vit):
    model = CanonicalizedModel.wrap(vit, group="c4")
    x = images(1, SIZE)
    for name in ("conformal", "identity", "abstain"):
        with pytest.raises(ValueError, match=f"decision='{name}' goes by thresholds.*hf_canon.calibrate"):
            model(pixel_values=x, decision=name)
    with pytest.raises(ValueError, match="no decision rule 'guess'. Known ones: argmax, conformal, orbit"):
        model(pixel_values=x, decision="guess")
    model.config.calibration = calibration(harm=None, confidence=None)
    model(pixel_values=x, decision="conformal")
    for name in ("identity", "abstain"):
        with pytest.raises(ValueError, match="coverage alone.*harm=0.05"):
            model(pixel_values=x, decision=name)


def test_training_goes_by_the_likeliest_element(vit):
    model = wrapped(vit, "c4")
    model.config.decision = "orbit"
    x = images(2, SIZE)
    assert model(pixel_values=x).canonicalization.passes.tolist() == [4, 4]
    assert model.train()(pixel_values=x).canonicalization.passes.tolist() == [1, 1]


@given(
    logits=st.lists(st.lists(st.floats(-8, 8, width=32), min_size=8, max_size=8), min_size=1, max_size=5),
    threshold=st.floats(0.01, 0.99),
    alpha=st.floats(0.01, 0.5),
)
@settings(max_examples=60, deadline=None)
def test_sets_are_never_empty_hold_ties_and_back_off(logits, threshold, alpha):
    group = get_group("d4")
    probabilities = torch.tensor(logits).softmax(1)
    ranking = rank(probabilities, group, torch.tensor(logits).argmax(1))
    assert torch.equal(ranking.element.sort(1).values, torch.arange(8).expand(len(logits), 8))
    assert bool((ranking.probability.diff(dim=1) <= 0).all())
    assert torch.equal(ranking.probability.gather(1, ranking.place), probabilities)
    size = set_size(ranking, Calibration(**calibration(threshold=threshold, alpha=alpha)))
    inside = ranking.place < size[:, None]
    assert bool((size >= 1).all())
    # All that reach the threshold are in; where none does, those inside have the probability that is asked for.
    assert bool(inside[probabilities >= threshold].all())
    backed_off = probabilities.amax(1) < threshold * (1 - 1e-4)
    held = (probabilities * inside).sum(1)
    assert bool((held[backed_off] >= 1 - alpha - 1e-4).all())
    for row, members in zip(probabilities, inside, strict=True):
        least = row[members].min()
        assert bool(members[row >= least].all())  # ties are taken together


@pytest.mark.parametrize("rounding", [-5e-6, 0, 5e-6])
def test_elements_at_the_threshold_are_in_whatever_rounding_does(rounding):
    probabilities = torch.tensor([[2.0, 1.0, 1.0, 0.0]]).softmax(1)
    ranking = rank(probabilities, get_group("c4"), torch.tensor([0]))
    threshold = float(probabilities[0, 1]) * (1 + rounding)
    assert set_size(ranking, Calibration(**calibration(threshold=threshold))).tolist() == [3]


def test_actions_have_words():
    assert [one.words for one in Action] == ["canonicalized", "averaged", "left alone", "abstained"]
