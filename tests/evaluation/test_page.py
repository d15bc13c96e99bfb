"""The page: it stands alone, says what the report says, and shows nothing that is not so."""

import base64
import copy
import dataclasses
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from evaluation.test_other_groups import RATE, audio_model, clips  # noqa: F401 (fixtures)
from images import images
from transformers import (
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTImageProcessorPil,
    Wav2Vec2FeatureExtractor,
)

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness, get_group
from hf_canon.evaluation import require_report_folder, write_page
from hf_canon.evaluation.decision_log import is_member
from hf_canon.evaluation.display import displayed
from hf_canon.evaluation.galleries import Galleries
from hf_canon.evaluation.memory import HeldByTensors
from hf_canon.evaluation.transforms import Rotation, parse_transforms, transformed_by
from hf_canon.groups import Images, Waveforms
from hf_canon.reports.diagnosis import risk_curve
from hf_canon.reports.page import render_page, verdict
from hf_canon.selection import Calibration


class Elements(HTMLParser):
    """Every start tag with its attributes, and the text of those that have an id."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open = dict(attrs).get("id") or ""

    def handle_data(self, data):
        self.texts[self._open] = self.texts.get(self._open, "") + data

    def handle_endtag(self, tag):
        self._open = ""


def page_of(folder) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def original(wrap, items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    return evaluate_robustness(wrap("d4", "orbit"), items, ["d4", 10], report=folder, batch_size=10), folder


@pytest.fixture
def made(original, tmp_path):
    """A report, and a copy of its page."""
    report, folder = original
    return report, shutil.copytree(folder, tmp_path / "out")


def assert_stands_alone(text: str) -> None:
    elements = Elements(text).found
    assert not [tag for tag, _ in elements if tag in ("script", "link", "iframe", "object", "embed", "base")]
    links = [value for _, attrs in elements for name, value in attrs.items() if name in ("src", "href", "srcset")]
    assert links and all(link == "report.json" or link.startswith("data:image/") for link in links)
    assert "@import" not in text and "url(" not in text and "http" not in re.sub(r"http-equiv", "", text)
    for drawing in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", text):
        svg = base64.b64decode(drawing).decode()
        outside = re.findall(r'(?:href|src)="(?!#|data:)|@import|url\((?!#)|<script', svg)
        assert not outside
    images = [attrs for tag, attrs in elements if tag == "img"]
    assert images and all(attrs.get("alt") for attrs in images)
    assert [tag for tag, _ in elements].count("h1") == 1


def test_the_page_needs_nothing_beside_it(made):
    _, folder = made
    assert_stands_alone(page_of(folder))
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "report.json"]


def test_the_json_has_the_figures_of_the_page(made):
    report, folder = made
    assert RobustnessReport.load(folder / "report.json") == report
    elements = Elements(page_of(folder))
    tallies = {
        name: text for name, text in elements.texts.items() if re.fullmatch(r"(upright-)?(harm|help)(-\d)?", name)
    }
    del tallies["harm"]  # a heading
    read = {name: int(text.replace(",", "")) for name, text in tallies.items()}
    expected = {"upright-harm": report.upright_right_to_wrong, "upright-help": report.upright_wrong_to_right}
    for number, found in enumerate(report.sets.values(), 1):
        expected |= {f"harm-{number}": found.right_to_wrong, f"help-{number}": found.wrong_to_right}
    assert read == expected and sum(read.values()) > 0
    text = page_of(folder)
    for found in report.sets.values():
        for row in found.transforms:
            assert f">{100 * row.after.value:.1f}<" in text
    assert f"{100 * report.diagnosis.reliability.error:.1f} points" in text
    # And the page can be made again from the file, without the examples.
    again = Elements(render_page(RobustnessReport.load(folder / "report.json")))
    assert {name: again.texts[name] for name in read} == {name: elements.texts[name] for name in read}


def test_reports_of_earlier_versions_load(made):
    report, folder = made
    data = json.loads((folder / "report.json").read_text())
    del data["diagnosis"]
    old = RobustnessReport.from_dict(data)
    assert old.diagnosis is None and old.sets == report.sets
    assert "Can its confidence be trusted?" not in render_page(old)


def test_what_comes_from_the_data_is_text(vit, x, tmp_path):
    named = copy.deepcopy(vit)
    evil = "<script>alert(1)</script><img src=http://example.org/x.png onerror=alert(2)>"
    named.config.id2label = {i: f"{evil}{i}" for i in range(5)}
    model = CanonicalizedModel.wrap(named, group="c4", canonicalizer="shift")
    report = evaluate_robustness(
        model, [{"pixel_values": one, "label": i % 5} for i, one in enumerate(x)], "c4", report=tmp_path
    )
    text = page_of(tmp_path)
    assert unescape(text).count("alert(1)") > 5 and "<script" not in text and "<img src=http" not in text
    assert report.diagnosis.diversity.classes[0].name.startswith("<script>")


def test_nothing_says_where_on_this_machine_the_checkpoint_is(vit, x, tmp_path):
    vit.save_pretrained(tmp_path / "secret" / "checkpoint")
    model = CanonicalizedModel.wrap(tmp_path / "secret" / "checkpoint", group="c4", canonicalizer="shift")
    report = evaluate_robustness(model, [{"pixel_values": one} for one in x], "c4", report=tmp_path / "out")
    assert report.model == "checkpoint"
    for file in (tmp_path / "out").iterdir():
        assert str(tmp_path) not in file.read_text() and "secret" not in file.read_text()


def test_the_diagnosis_by_hand(wrap, items, x):
    model = wrap("c4", "orbit")
    found = evaluate_robustness(model, items, ["c4", 30], batch_size=9).diagnosis
    with torch.inference_mode():
        poses = [model(pixel_values=Rotation(angle)(x)) for angle in (0, 90, 180, 270)]
        between = model(pixel_values=Rotation(30.0)(x))
    confidence = torch.cat([one.canonicalization.probabilities.amax(1) for one in poses])
    element = torch.cat([one.canonicalization.probabilities.argmax(1) for one in poses])
    true = torch.arange(4).repeat_interleave(len(x))
    right = (element == true).double()
    assert found.answers == 5 * len(x) and found.reliability.answers == 4 * len(x)
    assert found.reliability.gap.value == pytest.approx(100 * float(confidence.mean() - right.mean()), abs=1e-3)
    error = sum(
        abs(float((confidence - right)[here].sum()))
        for here in [(confidence * 10).floor() == tenth for tenth in range(10)]
    )
    assert found.reliability.error == pytest.approx(error / len(true), abs=1e-5)
    counts = torch.zeros(4, 4).index_put((true, element), torch.ones(()), accumulate=True)
    assert found.confusion.counts == tuple(tuple(int(n) for n in row) for row in counts.tolist())
    assert sum(count for *_, count, _ in found.confusion.mistakes(99)) == int((element != true).sum())
    everything = [*poses, between]
    ranked = torch.cat([one.canonicalization.probabilities for one in everything]).sort(1, descending=True).values
    sizes = (ranked.cumsum(1) < 0.9).sum(1) + 1
    assert found.set_sizes.counts == tuple(torch.bincount(sizes)[1:].tolist()) and not found.set_sizes.calibrated
    labels = torch.tensor([item["label"] for item in items])
    wrong = torch.cat([one.logits.argmax(1) != labels for one in everything]).double()
    assert found.risk_coverage["pose"].overall == pytest.approx(float(wrong.mean()))
    assert found.decisions.actions["canonicalized"].answers == found.answers and found.decisions.passes == 1
    assert found.diversity.found == {f"{90 * i}°": int((element[: len(x)] == i).sum()) for i in range(4)}
    assert [one.items for one in found.diversity.classes] == torch.bincount(labels).tolist()
    assert len(found.diversity.thin) == 5  # of 23 images


def test_the_diagnosis_does_not_depend_on_batches(wrap, items):
    one, other = (evaluate_robustness(wrap("d4", "orbit"), items, "d4", batch_size=size).diagnosis for size in (23, 4))
    assert one.confusion == other.confusion and one.set_sizes == other.set_sizes
    assert one.reliability.error == pytest.approx(other.reliability.error, abs=1e-5)


def test_a_risk_curve_shares_the_risk_of_ties():
    rng = np.random.default_rng(0)
    confidence, score = rng.integers(0, 4, 200) / 4, rng.integers(0, 2, 200).astype(float)
    orders = [rng.permutation(200) for _ in range(400)]
    areas = []
    for order in orders:
        order = order[np.argsort(-confidence[order], kind="stable")]
        areas.append(np.mean((1 - score[order]).cumsum() / np.arange(1, 201)))
    curve = risk_curve(confidence, score)
    assert curve.area == pytest.approx(np.mean(areas), abs=0.005) and curve.overall == pytest.approx(1 - score.mean())
    assert len(curve.coverage) == 50 and curve.coverage[-1] == 1


@pytest.mark.parametrize("rule", ["abstain", "identity"])
def test_what_a_calibrated_rule_did_is_counted(wrap, items, rule, tmp_path):
    model = wrap("c4", "orbit")
    unknown = dict.fromkeys(field.name for field in dataclasses.fields(Calibration))
    known = {"temperature": 1.0, "alpha": 0.2, "threshold": 0.2, "harm": 0.1, "confidence": 0.3, "items": 99}
    model.config.calibration, model.config.decision = {**unknown, **known}, rule
    report = evaluate_robustness(model, items, "c4", report=tmp_path)
    found = report.diagnosis
    assert found.decisions.rule == rule and found.decisions.calibration["harm"] == 0.1
    assert sum(one.answers for one in found.decisions.actions.values()) == found.answers == 4 * len(items)
    assert found.set_sizes.calibrated and found.set_sizes.level == 0.8
    other = {"abstain": "abstained", "identity": "left alone"}[rule]
    unsure = sum(one.answers for one in found.reliability.bins if one.high <= 0.3)
    assert found.decisions.actions[other].answers == unsure > 0
    assert RobustnessReport.load(tmp_path / "report.json") == report
    assert "80\N{NO-BREAK SPACE}% of inputs like those" in page_of(tmp_path)


@pytest.mark.parametrize("size", [23, 5])
def test_the_examples_are_what_they_are_said_to_be(wrap, items, x, size, monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(
        "hf_canon.evaluation.robustness.write_page", lambda report, folder, examples: kept.append(examples)
    )
    model = wrap("c4", "orbit")
    report = evaluate_robustness(model, items, "c4", batch_size=size, report=tmp_path, baselines=False)
    (examples,) = kept
    harmed, fixed, unsure = (examples.harmed, examples.fixed, examples.unsure)
    found = report.sets["c4"]
    assert examples.totals == {"harmed": found.right_to_wrong, "fixed": found.wrong_to_right}
    assert len(unsure) == 8 and 0 < len(harmed) <= 8 and 0 < len(fixed) <= 8
    with torch.inference_mode():
        for example in harmed + fixed:
            angle = 0 if example.pose == "as it came" else int(re.search(r"\d+", example.pose)[0])
            turned = Rotation(angle)(x[example.number - 1 : example.number])
            label = items[example.number - 1]["label"]
            after, before = model(pixel_values=turned), model.predictor(pixel_values=turned)
            assert (int(before.logits.argmax()) == label) == example.before.right == (example in harmed)
            assert (int(after.logits.argmax()) == label) == example.after.right == (example in fixed)
            assert example.confidence == pytest.approx(float(after.canonicalization.confidence), abs=1e-4)
    for examples in (harmed, fixed, unsure):
        assert len({example.number for example in examples}) == len(examples)
    sure = [example.confidence for example in harmed]
    assert sure == sorted(sure, reverse=True)
    doubt = [example.confidence for example in unsure]
    with torch.inference_mode():
        least = model(pixel_values=x).canonicalization.confidence.sort().values[:8]  # c4 is exact: poses share it
    assert doubt == pytest.approx(least.tolist(), abs=1e-4)


def test_a_canonicalizer_that_does_nothing_harms_and_mends_nothing(wrap, items, tmp_path):
    report = evaluate_robustness(wrap("c4", 0), items, "c4", report=tmp_path)
    assert page_of(tmp_path).count("There is none.") == 2
    assert verdict(report).tone != "yes"


@pytest.mark.covering()
@pytest.mark.parametrize(
    ("group", "transforms"), [("so2", ["c4", 33]), ("d4*channels", "d4*channels"), ("hue", {"hue": [0, 90, 200]})]
)
def test_groups_of_any_size_have_a_page(vit, items, group, transforms, tmp_path):
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16})
    model = CanonicalizedModel.wrap(vit, group=group, processor=processor)
    report = evaluate_robustness(model, items[:6], transforms, report=tmp_path, baselines=False)
    assert_stands_alone(page_of(tmp_path))
    found = report.diagnosis
    assert len(found.confusion.elements) == (48 if "*" in group else 8)
    assert sum(map(sum, found.confusion.counts)) == found.reliability.answers
    assert RobustnessReport.load(tmp_path / "report.json") == report


def test_segmenters_have_scores_and_no_classes(tmp_path):
    torch.manual_seed(0)
    config = SegformerConfig(
        num_encoder_blocks=1, depths=[1], sr_ratios=[2], hidden_sizes=[8], patch_sizes=[3], strides=[2],
        num_attention_heads=[1], mlp_ratios=[2], decoder_hidden_size=8, num_labels=3, initializer_range=0.5,
    )  # fmt: skip
    model = CanonicalizedModel.wrap(SegformerForSemanticSegmentation(config).eval(), group="c4", canonicalizer="shift")
    data = [{"pixel_values": one} for one in images(3, 32)]
    report = evaluate_robustness(model, data, "c4", report=tmp_path)
    text = page_of(tmp_path)
    assert_stands_alone(text)
    assert report.diagnosis.diversity.classes is None and list(report.diagnosis.risk_coverage) == ["pose"]
    assert "mean IoU" in text and "lose over 10 points" in text and "right → wrong" not in text


def test_clips_are_drawn_and_padding_is_not(audio_model, clips, tmp_path, monkeypatch):  # noqa: F811
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    model = CanonicalizedModel.wrap(audio_model, group="gain", canonicalizer="moment", processor=extractor)
    drawn = []
    import hf_canon.evaluation.galleries as gallery

    original = gallery.drawn_audio
    monkeypatch.setattr(gallery, "drawn_audio", lambda one, *rest: drawn.append(len(one)) or original(one, *rest))
    evaluate_robustness(model, clips, {"gain": [-6, 0, 6]}, processor=extractor, report=tmp_path, batch_size=5)
    assert_stands_alone(page_of(tmp_path))
    assert set(drawn) <= {300 + 40 * i for i in range(5)} and len(set(drawn)) > 1


def test_images_look_as_they_came():
    photo = torch.rand(3, 8, 8)
    mean, deviation = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    scale, transform = tuple(1 / d for d in deviation), tuple(-m / d for m, d in zip(mean, deviation, strict=True))
    read = photo * torch.tensor(scale).view(3, 1, 1) + torch.tensor(transform).view(3, 1, 1)
    shown = displayed(read, None, Images(scale, transform))(read)
    assert shown == pytest.approx(photo.permute(1, 2, 0).numpy(), abs=1e-5)


def test_what_is_an_element_of_the_group_and_what_lies_between():
    d4, c8, product = get_group("d4"), get_group("c8"), get_group("d4*channels")
    assert is_member(Rotation(90, True), d4) and not is_member(Rotation(90, True), c8)
    assert is_member(Rotation(45), c8) and not is_member(Rotation(45), d4) and not is_member(Rotation(45), product)
    assert is_member(Rotation(90), product) and is_member(transformed_by(product, 7), product)
    hue6 = get_group("hue6").on(Images((1.0,) * 3, (0.0,) * 3))
    exact, between = parse_transforms({"hue12": [2, 3]}, hue6)["hue12"]
    assert is_member(exact, hue6) and not is_member(between, hue6)
    assert not is_member(transformed_by(get_group("gain").on(Waveforms(RATE)), 3.0), c8)


@pytest.mark.parametrize("name", ["index.html", "report.json"])
def test_nobody_elses_files_are_lost(made, tmp_path, name):
    report, folder = made
    (folder / "notes.txt").write_text("mine")
    write_page(report, folder)  # ours is renewed, and the rest stays
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / name).write_text("<html>{}</html>")
    with pytest.raises(ValueError, match=rf"{name}' is there already and is no report of ours"):
        require_report_folder(folder)
    assert (folder / name).read_text() == "<html>{}</html>"


def test_a_folder_that_cannot_be_is_refused_before_the_work(wrap, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be written into .*file.*name a folder"):
        evaluate_robustness(wrap("c4"), iter(()), report=tmp_path / "file" / "out")


def test_a_page_that_fails_leaves_the_earlier_one(made, monkeypatch):
    report, folder = made
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*_):
        raise RuntimeError("no room")

    monkeypatch.setattr(RobustnessReport, "save", fail)
    with pytest.raises(RuntimeError, match="no room"):
        write_page(report, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_memory_of_tensors_is_counted_while_they_live():
    with HeldByTensors() as held:
        kept = [torch.zeros(100) for _ in range(3)]
        view = kept[0][:50]
        del kept[1:]
        torch.zeros(150)
    assert held.peak == 1200 and len(view) == 50


def test_advice_follows_the_figures(made):
    from dataclasses import replace

    from hf_canon.evaluation import Interval

    report, _ = made
    found = report.sets["d4"]

    def said(tax, gain, items=400):
        sets = {"d4": replace(found, gain=Interval(*gain))}
        return verdict(replace(report, items=items, upright_tax=Interval(*tax), sets=sets))

    assert said((0, 0, 0), (40, 38, 42)).tone == "yes"
    assert said((0, 0, 0), (-1, -3, -0.5)).tone == "no"
    assert said((0, 0, 0), (1, -3, 4)).tone == "open" and "chance" in said((0, 0, 0), (1, -3, 4)).advice
    assert said((0, 0, 0), (40, 38, 42), items=20).tone == "open"


def test_galleries_hold_no_more_than_they_show(wrap):
    from hf_canon.evaluation.metrics import Classes

    model = wrap("c4", "orbit")
    galleries = Galleries(model, Classes(), None)
    with torch.inference_mode():
        for start in range(0, 40, 10):
            x = images(10, 16, seed=start)
            output = model(pixel_values=x)
            answers = {"before": {"logits": output.logits}, "after": {"logits": output.logits}}
            judged = {"before": torch.ones(10), "after": torch.zeros(10)}
            galleries.add(Rotation(0.0), (0, start), x, None, output, answers, judged, None)
    assert galleries.totals == {"harmed": 40, "fixed": 0}
    assert [len(galleries._kept[name]) for name in ("harmed", "fixed", "unsure")] == [8, 0, 8]
