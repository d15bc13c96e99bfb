import json

import pytest


@pytest.fixture
def own_adapter(adapter, tmp_path):
    import shutil

    return shutil.copytree(adapter, tmp_path / "adapter")


def test_an_adapter_is_calibrated_saved_and_decides(run, own_adapter, photos):
    code, out, _ = run(
        "calibrate", own_adapter, "--data", photos, "--alpha", "0.3", "--harm", "0.4", "--decision", "abstain"
    )
    assert code == 0
    assert "at least 70 %" in out and "at most 40 %" in out and "decides by 'abstain'" in out
    config = json.loads((own_adapter / "config.json").read_text())
    assert config["decision"] == "abstain" and config["calibration"]["items"] == 9
    code, out, _ = run("info", own_adapter)
    assert code == 0 and "at least 70 %" in out
    code, out, _ = run("predict", own_adapter, photos)
    assert code == 0
    actions = {line.split("\t")[4] for line in out.splitlines()}
    assert actions <= {"canonicalized", "abstained"}
    code, out, _ = run("predict", own_adapter, photos, "--decision", "conformal")
    assert {line.split("\t")[4] for line in out.splitlines()} <= {"canonicalized", "averaged"}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--alpha", "2"], "alpha=2.0 is not a share"),
        (["--harm", "0"], "harm=0.0 is not a share"),
        (["--alpha", "0.01"], "take 131 inputs at least, a quarter of them for the temperature, and there are 12"),
    ],
)
def test_bounds_that_cannot_be_kept_change_nothing(refuses, own_adapter, photos, flags, sentence):
    before = (own_adapter / "config.json").read_bytes()
    assert sentence in refuses("calibrate", own_adapter, "--data", photos, *flags)
    assert (own_adapter / "config.json").read_bytes() == before


def test_a_checkpoint_is_refused(refuses, checkpoint, photos):
    assert "without adapter" in refuses("calibrate", checkpoint, "--data", photos)


def test_an_uncalibrated_adapter_cannot_be_asked_for_a_set(refuses, adapter, photos):
    assert "hf_canon.calibrate" in refuses("predict", adapter, photos, "--decision", "conformal")
