"""One suite for every objective, and what each promises."""

import pytest
import torch
from images import images
from transformers import (
    CLIPConfig,
    CLIPModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTConfig,
    ViTForImageClassification,
    YolosConfig,
    YolosForObjectDetection,
)

from hf_canon import CanonicalizedModel
from hf_canon.canonicalizers import Canonicalizer
from hf_canon.groups import Group
from hf_canon.objectives import (
    ContrastiveUniqueness,
    Distillation,
    KnownPose,
    Objective,
    PriorRegularization,
    TaskLoss,
)
from hf_canon.objectives.prior import transformed_prior

OBJECTIVES = {
    "prior": PriorRegularization(),
    "histogram": PriorRegularization([0.7, 0.1, 0.1, 0.1]),
    "contrastive": ContrastiveUniqueness(),
    "distillation": Distillation(),
    "task": TaskLoss(),
}


def wrapped(group: str = "c4", canonicalizer: str = "orbit") -> CanonicalizedModel:
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, num_labels=3
    )
    return CanonicalizedModel.wrap(ViTForImageClassification(config), group=group, canonicalizer=canonicalizer)


@pytest.mark.parametrize("name", OBJECTIVES)
class TestObjective:
    def test_a_number_with_a_gradient_for_the_canonicalizer_alone(self, name: str) -> None:
        model = wrapped().train()
        objective: Objective = OBJECTIVES[name]
        loss = model(pixel_values=images(4, 32), labels=torch.tensor([0, 1, 2, 0]), objective=objective).loss
        assert loss.ndim == 0 and loss.isfinite()
        loss.backward()
        gradients = [p.grad for p in model.canonicalizer.parameters() if p.grad is not None]
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
        assert all(parameter.grad is None for parameter in model.predictor.parameters())

    def test_training_lowers_it(self, name: str) -> None:
        model = wrapped().train()
        optimizer = torch.optim.AdamW(model.canonicalizer.parameters(), 3e-3)
        x, labels = images(8, 32), torch.arange(8) % 3

        def value() -> float:
            torch.manual_seed(1)
            with torch.no_grad():
                values = [OBJECTIVES[name](model, x, labels) for _ in range(8)]
            return float(torch.stack(values).mean())

        before = value()
        for _ in range(40):
            loss = OBJECTIVES[name](model, x, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert value() < before

    def test_inputs_are_not_written_to(self, name: str) -> None:
        x, labels = images(4, 32), torch.tensor([0, 1, 2, 0])
        x_before, labels_before = x.clone(), labels.clone()
        OBJECTIVES[name](wrapped().train(), x, labels)
        assert torch.equal(x, x_before) and torch.equal(labels, labels_before)


@pytest.mark.parametrize(
    ("group", "canonicalizer"), [("c8", "shift"), ("d4", "shift"), ("so2", "shift"), ("d3", "orbit")]
)
def test_identity_prior_for_every_kind_of_group(group: str, canonicalizer: str) -> None:
    loss = PriorRegularization()(wrapped(group, canonicalizer).train(), images(4, 32))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize("group_name", ["c4", "d4", "d3"])
def test_a_prior_moves_with_the_image(group_name: str) -> None:
    """Of an image transformed by g, element h is as likely as g^-1 h was before: checked by moving images for real."""
    model = wrapped(group_name)
    group = model.group
    prior = torch.rand(group.order).softmax(-1)
    for g in group.elements:
        transformed = transformed_prior(model, prior, g[None])[0]
        for h in group.elements:
            assert transformed[group.compose(g, h)] == prior[h]


def test_histogram_of_one_pose_is_the_identity_prior() -> None:
    model = wrapped("d4").train()
    x = images(4, 32)
    torch.manual_seed(3)
    one = PriorRegularization([1.0] + [0.0] * 7)(model, x)
    torch.manual_seed(3)
    assert torch.allclose(PriorRegularization()(model, x), one)


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_known_poses_are_those_that_the_canonicalizer_has_to_find(group: str) -> None:
    """Whatever happened to each input, and happens to it next: elements of d4 do not commute."""
    model = wrapped(group)
    model.canonicalizer = Found(model.group)
    order = len(model.group.elements)
    x = images(order, 32)
    x[:, 0, 1, 2] = 50.0
    turned = model.group.act(x, model.group.elements)
    for seed in range(8):
        torch.manual_seed(seed)
        assert KnownPose(model.group.elements)(model, turned) < 1e-3
        assert KnownPose(torch.zeros(order, dtype=torch.long))(model, turned) > 1


@pytest.mark.parametrize(("group", "canonicalizer"), [("d4", "orbit"), ("c8", "shift"), ("so2", "shift")])
def test_the_identity_for_every_input_is_the_identity_prior(group: str, canonicalizer: str) -> None:
    model = wrapped(group, canonicalizer).train()
    x = images(4, 32)
    torch.manual_seed(3)
    one = KnownPose(torch.full((4,), model.group.identity))(model, x)
    torch.manual_seed(3)
    assert torch.allclose(PriorRegularization()(model, x), one, atol=1e-6)


def test_contrastive_uniqueness_is_low_for_orthogonal_and_high_for_equal_embeddings() -> None:
    model = wrapped("c4")
    constant = torch.full((2, 3, 32, 32), 0.5)  # every member of its orbit is the same image
    assert torch.allclose(ContrastiveUniqueness()(model, constant), torch.tensor(1.0), atol=1e-5)
    model.canonicalizer.embed = lambda x, lengths: torch.eye(4).expand(len(x), 4, 4)  # type: ignore[method-assign]
    assert ContrastiveUniqueness()(model, constant) == 0


class TestRefusals:
    @pytest.mark.parametrize("prior", ["upright", [0.5, 0.6], [1.5, -0.5]])
    def test_no_prior(self, prior: object) -> None:
        with pytest.raises(ValueError, match="A prior"):
            PriorRegularization(prior)  # type: ignore[arg-type]

    def test_poses_of_other_inputs(self) -> None:
        with pytest.raises(ValueError, match="has 2 inputs and 3 poses"):
            KnownPose(torch.zeros(3, dtype=torch.long))(wrapped(), images(2, 32))

    def test_a_prior_for_another_group(self) -> None:
        with pytest.raises(ValueError, match="2 probabilities, and c4 has 4 elements"):
            PriorRegularization([0.5, 0.5])(wrapped("c4"), images(1, 32))

    def test_contrastive_without_an_orbit(self) -> None:
        with pytest.raises(ValueError, match="'shift' has none. Use canonicalizer='orbit'"):
            ContrastiveUniqueness()(wrapped("c4", "shift"), images(1, 32))

    def test_task_without_labels(self) -> None:
        with pytest.raises(ValueError, match="needs labels"):
            TaskLoss()(wrapped(), images(1, 32))

    def test_distillation_over_a_continuous_group(self) -> None:
        with pytest.raises(ValueError, match="so2 has infinitely many"):
            Distillation()(wrapped("so2", "shift"), images(1, 32))

    def test_task_of_places_over_angles_that_they_cannot_follow(self) -> None:
        with pytest.raises(ValueError, match="c8 turns training images by angles between its elements"):
            TaskLoss()(segmenter("c8"), images(2, 32), torch.zeros(2, 32, 32, dtype=torch.long))

    def test_task_without_labels_that_could_move(self) -> None:
        tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
        vision = {**tiny, "image_size": 32, "patch_size": 8}
        clip = CLIPModel(CLIPConfig(text_config={**tiny, "vocab_size": 9}, vision_config=vision))
        model = CanonicalizedModel.wrap(clip, group="c4", canonicalizer="shift")
        with pytest.raises(ValueError, match="CLIPModel learns from no labels"):
            TaskLoss()(model, images(2, 32), torch.tensor([0, 1]))


def segmenter(group: str) -> CanonicalizedModel:
    config = SegformerConfig(
        depths=[1] * 4,
        hidden_sizes=[8] * 4,
        num_attention_heads=[1] * 4,
        decoder_hidden_size=8,
        num_labels=3,
        initializer_range=0.5,
    )
    return CanonicalizedModel.wrap(SegformerForSemanticSegmentation(config), group=group, canonicalizer="orbit")


class Found(Canonicalizer):
    """Knows which element it is: from the pose in which an image is brightest at the top left."""

    name = "found"

    def __init__(self, group: Group):
        super().__init__()
        self.group, self.settings = group, {}

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        return 1e3 * self.group.orbit(x, self.group.inverse(self.group.elements))[:, :, 0, 1, 2]


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_maps_turn_with_the_images_of_the_task_loss(group: str) -> None:
    """Whoever finds the pose has the loss of the upright image with its upright map, however it was turned."""
    model = segmenter(group).eval()
    model.canonicalizer = Found(model.group)
    x, labels = images(6, 32), torch.arange(3).repeat(6, 32, 11)[:, :, :32]
    x[:, 0, 1, 2] = 50.0
    expected = model.predictor(pixel_values=x, labels=labels).loss
    assert torch.allclose(TaskLoss()(model, x, labels), expected, atol=1e-5)
    assert not torch.allclose(model.predictor(pixel_values=x, labels=labels.mT).loss, expected, atol=1e-3)


def test_boxes_turn_with_the_images_of_the_task_loss() -> None:
    config = YolosConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=[32, 32],
        num_detection_tokens=4, num_labels=2,
    )  # fmt: skip
    model = CanonicalizedModel.wrap(YolosForObjectDetection(config), group="d4", canonicalizer="orbit").eval()
    model.canonicalizer = Found(model.group)
    x = images(4, 32)
    x[:, 0, 1, 2] = 50.0
    labels = [{"class_labels": torch.tensor([i % 2]), "boxes": torch.tensor([[0.3, 0.2, 0.4, 0.1]])} for i in range(4)]
    expected = model.predictor(pixel_values=x, labels=labels).loss
    assert torch.allclose(TaskLoss()(model, x, labels), expected, atol=1e-5)
