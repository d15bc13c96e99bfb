"""Records are written as JSON, and come back as what they were."""

import json
from dataclasses import dataclass, replace

import pytest

from hf_canon.reports import Distance, Interval, ShiftReport, Side
from hf_canon.reports.record import Record
from hf_canon.selection import Calibration

SHIFT = ShiftReport(
    "vit", "c4", Side(90, 90, {"id": "é"}), Side(80, 80), "images", "logits", 4, 999,
    Distance(0.25, 0.1, 0.001), None, Distance(0.01, 0.1, 0.4), Interval(9.0, 8.0, 10.0),
)  # fmt: skip
CALIBRATION = Calibration(1.5, 0.1, 0.2, None, None, 30, 10, True, None, None, None, None, {"examples": 40}, {})


@dataclass(frozen=True)
class Nested(Record):
    rows: tuple[tuple[int, ...], ...]
    sides: dict[str, Side]
    distances: tuple[Distance, ...] | None = None
    said: dict[str, float] | None = None


def test_what_is_nested_comes_back_by_its_types(tmp_path):
    sides = {"old": Side(1, 2), "new": Side(3, 4, {"id": "x"})}
    for record in (
        Nested(((1, 2), ()), sides, (Distance(0.1, 0.2, 0.3),), {"a": 0.5}),
        Nested((), {}),
        SHIFT,
        CALIBRATION,
    ):
        record.save(tmp_path / "record.json")
        again = type(record).load(tmp_path / "record.json")
        assert again == record and repr(again) == repr(record)


def test_a_file_is_indented_and_has_letters_as_they_are(tmp_path):
    SHIFT.save(tmp_path / "shift.json")
    text = (tmp_path / "shift.json").read_bytes().decode("utf-8")
    assert text.startswith('{\n  "model": "vit",\n') and '"é"' in text and text.endswith("\n}\n")
    assert list(json.loads(text))[:3] == ["model", "group", "reference"]


def test_what_a_file_of_an_earlier_version_lacks_has_its_default():
    assert ShiftReport.from_dict({k: v for k, v in SHIFT.to_dict().items() if k != "removed"}) == replace(
        SHIFT, removed=None
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.pop("plain"), "'plain'"),
        (lambda data: data.update(more=1), "'more'"),
        (lambda data: data["plain"].pop("chance"), "'chance'"),
        (lambda data: data.update(plain=3), "'int'"),
    ],
)
def test_other_data_are_refused_in_a_sentence(change, said):
    data = SHIFT.to_dict()
    change(data)
    with pytest.raises(ValueError, match=f"another version of hf_canon, or is no report.*{said}"):
        ShiftReport.from_dict(data)


def test_a_calibration_of_another_version_says_how_to_go_on():
    data = CALIBRATION.to_dict()
    del data["alpha"]
    with pytest.raises(ValueError, match=r"^The calibration of this adapter .* config.calibration to null .*'alpha'"):
        Calibration.from_dict(data)
    with pytest.raises(ValueError, match="'x'"):
        Calibration.from_dict({**CALIBRATION.to_dict(), "x": 1})
