import dataclasses
import json
import math

import numpy as np
import pytest
import torch

from hf_canon import RobustnessReport, evaluate_robustness, get_group
from hf_canon.evaluation.statistics import bootstrap
from hf_canon.predictors.untouched import evaluating

SIXTEEN = [11.25 + 22.5 * k for k in range(16)]


def by_hand(model, x, labels, angle, mirrored):
    """Every figure of one transform, the long way: no orbit is shared, and the shift is the group's own action."""
    turn = torch.full((len(x),), math.radians(angle))
    shifted = get_group("so2").act(x.flip(-1) if mirrored else x, turn, interpolation="bicubic")
    group = model.group
    orbit_group = group if group.finite else get_group("c8")
    with torch.inference_mode():
        upright = model.predictor(pixel_values=x).logits.argmax(-1)
        orbit = torch.stack(
            [
                model.predictor(pixel_values=orbit_group.act(shifted, orbit_group.inverse(g).expand(len(x)))).logits
                for g in orbit_group.elements
            ]
        )
        after = model(pixel_values=shifted)
        if group.finite:
            element = round(angle * group.n / 360) % group.n + (group.n if mirrored and group.reflections else 0)
            true = torch.full((len(x),), element)
        else:
            true = turn
        undone = group.act(shifted, group.inverse(true))
        logits = {
            "before": model.predictor(pixel_values=shifted).logits,
            "after": after.logits,
            "orbit_mean": orbit.mean(0),
            "most_confident": torch.stack(
                [members[members.softmax(-1).amax(-1).argmax()] for members in orbit.unbind(1)]
            ),
            "oracle": model.predictor(pixel_values=undone).logits,
        }
    answers = {method: values.argmax(-1) for method, values in logits.items()}
    right = {method: answer == labels for method, answer in answers.items()}
    agree = {method: answer == upright for method, answer in answers.items()}
    return right, agree, after.canonicalization.element


@pytest.mark.covering("group", "canonicalizer")
@pytest.mark.parametrize(
    ("group", "canonicalizer", "transforms"),
    [
        ("c4", "shift", "c4"),
        ("c8", "shift", "c8"),
        ("c8", 3, ["c8", *SIXTEEN]),
        ("d4", "orbit", ["d4", "c8"]),
        ("c2", "predictor", ["c4"]),
        ("c6", "shift", ["c6", 100]),
        ("c4", 1, "d4"),
        ("so2", "shift", ["c4", 33]),
    ],
)
def test_every_figure_agrees_with_the_long_way(wrap, items, x, group, canonicalizer, transforms):
    model = wrap(group, canonicalizer)
    labels = torch.tensor([item["label"] for item in items])
    report = evaluate_robustness(model, items, transforms, batch_size=10)
    # Two ways to compute one logit differ in the last bits, and one image in 23 may sit between two answers.
    close = pytest.approx
    assert report.items == len(items) and report.labelled
    for found in report.sets.values():
        gains, fixed, spoiled = [], 0, 0
        for row in found.transforms:
            right, agree, _ = by_hand(model, x, labels, row.angle, row.mirrored)
            for method, score in row.scores.items():
                assert score.accuracy == close(right[method].double().mean().item(), abs=1e-9), (row.name, method)
                assert score.agreement == close(agree[method].double().mean().item(), abs=1e-9), (row.name, method)
            gains.append(right["after"].double().mean() - right["before"].double().mean())
            fixed += int((~right["before"] & right["after"]).sum())
            spoiled += int((right["before"] & ~right["after"]).sum())
        assert found.gain.value == close(100 * float(np.mean(gains)))
        assert found.gain.low <= found.gain.value <= found.gain.high
        assert (found.right_to_wrong, found.wrong_to_right) == (spoiled, fixed)
        for method, mean in found.mean.items():
            accuracies = [row.scores[method].accuracy for row in found.transforms]
            assert mean.accuracy == close(np.mean(accuracies)) and found.worst[method].accuracy == min(accuracies)


def test_pose_accuracy_counts_the_applied_element(wrap, items):
    report = evaluate_robustness(wrap("c4", 1), items, "c4", baselines=False)
    assert [row.pose_accuracy for row in report.sets["c4"].transforms] == [0, 1, 0, 0]
    assert report.sets["c4"].pose_accuracy == 0.25
    assert report.upright.pose_accuracy == 0


def test_a_canonicalizer_that_does_nothing_changes_nothing(wrap, items):
    report = evaluate_robustness(wrap("c8", 0), items, "c8")
    found = report.sets["c8"]
    assert all(row.before == row.after for row in found.transforms)
    assert (found.gain.value, found.gain.low, found.gain.high) == (0, 0, 0)
    assert report.upright_tax.value == 0 and report.upright_right_to_wrong == report.upright_wrong_to_right == 0
    assert report.upright.before.agreement == 1
    assert found.before == found.mean["before"].accuracy < 1


def test_the_upright_tax_is_what_upright_images_lose(wrap, items):
    report = evaluate_robustness(wrap("c4", 2), items, [180], baselines=False)
    upright = report.upright
    lost = report.upright_right_to_wrong - report.upright_wrong_to_right
    assert report.upright_tax.value == pytest.approx(100 * lost / len(items))
    assert report.upright_tax.value == pytest.approx(100 * (upright.before.accuracy - upright.after.accuracy))
    # What undoes a half turn does it to upright images too, and makes of a turned one an upright one.
    (turned,) = report.sets["angles"].transforms
    assert turned.after.agreement == 1 and turned.before == upright.after


def test_without_labels_agreement_takes_the_place_of_accuracy(wrap, x):
    model = wrap("c8")
    report = evaluate_robustness(model, [{"pixel_values": image} for image in x], "c8")
    labels = model.predictor(pixel_values=x).logits.argmax(-1)
    same = [{"pixel_values": image, "label": int(label)} for image, label in zip(x, labels, strict=True)]
    labelled = evaluate_robustness(model, same, "c8")
    assert not report.labelled and labelled.labelled
    assert all(score.accuracy is None for score in report.upright.scores.values())
    assert report.sets["c8"].after == labelled.sets["c8"].after == labelled.sets["c8"].mean["after"].agreement
    assert report.sets["c8"].gain == labelled.sets["c8"].gain
    assert report.upright_tax == labelled.upright_tax
    assert "agreement" in report.table() and "accuracy" not in report.table()


def test_any_of_several_right_answers_is_right(wrap, x):
    model = wrap("c4", 0)
    every = list(range(model.config.num_labels))
    report = evaluate_robustness(model, [{"pixel_values": image, "label": every} for image in x], "c4")
    assert report.sets["c4"].before == 1
    answers = model.predictor(pixel_values=x).logits.argmax(-1).tolist()
    others = [
        {"pixel_values": image, "label": [c for c in every if c != answer]}
        for image, answer in zip(x, answers, strict=True)
    ]
    assert evaluate_robustness(model, others, "c4").upright.before.accuracy == 0


def test_a_report_does_not_depend_on_batches_or_order_of_transforms(wrap, items):
    model = wrap("d4", "equivariant")
    one = evaluate_robustness(model, items, ["d4", "c8"], batch_size=23)
    other = evaluate_robustness(model, iter(items), ["c8", "d4"], batch_size=4)
    assert one.sets["c8"] == other.sets["c8"] and one.sets["d4"] == other.sets["d4"]
    plain = evaluate_robustness(model, items, "c8", baselines=False)
    assert list(plain.upright.scores) == ["before", "after"]
    assert plain.sets["c8"].gain == one.sets["c8"].gain


def test_every_module_keeps_its_mode_and_nothing_is_written_into_the_model(wrap, items):
    model = wrap("c4")
    model.train()
    model.predictor.vit.embeddings.train()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate_robustness(model, items, "c4")
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError), evaluating(model):
        assert not model.canonicalizer.training
        raise RuntimeError
    assert [module.training for module in model.modules()] == modes


def test_half_precision_models_are_given_what_they_eat(wrap, items, vit):
    import copy

    from hf_canon import CanonicalizedModel

    model = CanonicalizedModel.wrap(copy.deepcopy(vit).to(torch.bfloat16), group="c4", canonicalizer="shift")
    report = evaluate_robustness(model, items, ["c4", 30])
    assert 0 <= report.sets["c4"].after <= 1
    assert len({row.after for row in report.sets["c4"].transforms}) == 1


def test_cost_is_in_relation_to_the_bare_model(wrap, items, device):
    model = wrap("c8").to(device)
    cost = evaluate_robustness(model, items, "c8", batch_size=8).cost
    model.cpu()
    parameters, own = (sum(p.numel() for p in m.parameters()) for m in (model, model.predictor))
    assert cost.parameter_ratio == pytest.approx(parameters / own, rel=0.01)
    assert cost.batch_size == 8 and cost.device == device.type
    assert cost.canonicalized_ms > 0 and cost.bare_ms > 0 and cost.latency_ratio > 0
    if device.type in ("cpu", "cuda"):
        assert cost.peak_memory_ratio > (1 if device.type == "cpu" else 0)


def test_a_report_survives_a_file(wrap, items, tmp_path):
    for data in (items, [{"pixel_values": item["pixel_values"]} for item in items]):
        report = evaluate_robustness(wrap("d4", "orbit"), data, ["d4", 10])
        report.save(tmp_path / "report.json")
        assert RobustnessReport.load(tmp_path / "report.json") == report
        assert json.loads((tmp_path / "report.json").read_text()) == json.loads(json.dumps(report.to_dict()))
        with pytest.raises(dataclasses.FrozenInstanceError):
            report.items = 0


@pytest.mark.parametrize("labelled", [True, False])
def test_the_table_fits_a_terminal_and_shows_what_counts(wrap, items, labelled):
    data = items if labelled else [{"pixel_values": item["pixel_values"]} for item in items]
    report = evaluate_robustness(wrap("d8", "shift"), data, ["d8", *SIXTEEN])
    report = dataclasses.replace(report, model="a/very/long/path" * 10)
    lines = str(report).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert all(line == line.rstrip() for line in lines)
    assert sum(line.startswith("  mirrored, ") for line in lines) == 8
    text = str(report)
    for words in ("upright tax", "gain, d8", "gain, 16 angles", "right -> wrong", "mirrored, 315", "cost", "mean"):
        assert words in text
    mean = next(line for line in lines if line.startswith("  mean"))
    assert f"{100 * report.sets['d8'].before:.1f}" in mean and f"{100 * report.sets['d8'].after:.1f}" in mean


def test_intervals_are_paired_and_cover(wrap):
    rng = np.random.default_rng(1)
    base = rng.random((400, 1)) < 0.5
    shifted = base + 0.1  # a constant gain, however much the two vary
    constant, wide = bootstrap(np.concatenate([shifted - base, base.astype(float)], 1))
    assert constant.value == pytest.approx(10) and constant.high - constant.low < 1e-6
    error = 100 * float(base.std()) / 20
    assert wide.high - wide.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap(base.astype(float)) == bootstrap(base.astype(float))


@pytest.mark.parametrize(
    ("transforms", "shape", "sentence"),
    [
        ("e8", (3, 16, 16), "no group 'e8'"),
        ("so2", (3, 16, 16), "so2 cannot be listed"),
        ("c8", (3, 16, 20), "16 x 20"),
        ([20], (3, 16, 20), "16 x 20"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_a_sentence(wrap, transforms, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        evaluate_robustness(wrap("c2"), [{"pixel_values": torch.zeros(shape), "label": 0}], transforms)


def test_an_empty_data_set_is_refused(wrap):
    with pytest.raises(ValueError, match="The data set is empty"):
        evaluate_robustness(wrap("c2"), [])


def test_oblong_images_can_be_turned_by_half(wrap, vit):
    model = wrap("c2")
    oblong = [{"pixel_values": torch.rand(3, 16, 20)} for _ in range(4)]
    model.predictor.forward, original = (
        lambda pixel_values, **kwargs: original(pixel_values, interpolate_pos_encoding=True, **kwargs),
        model.predictor.forward,
    )
    try:
        report = evaluate_robustness(model, oblong, ["c2", "d2"])
    finally:
        del model.predictor.forward
    assert len(report.sets["d2"].transforms) == 4
