import pytest

from hf_canon.canonicalizers import CANONICALIZERS
from hf_canon.groups import KNOWN


def test_without_argument_every_group_and_canonicalizer_is_listed(run):
    code, out, _ = run("info")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert set(lines) == {*KNOWN, *CANONICALIZERS}
    assert all(len(line.split()) > 2 for line in lines.values())  # each says what it is


def test_an_adapter_is_described(run, adapter, checkpoint):
    code, out, _ = run("info", adapter)
    assert code == 0
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert rows["base"] == str(checkpoint)
    assert rows["group"] == "c8: rotations by multiples of 45°; 8 elements, 4 of them exact"
    assert rows["canonicalizer"].startswith("orbit")
    assert int(rows["parameters"].replace(",", "")) > 1000
    assert rows["classes"] == "3"
    kilobytes = float(rows["size"].removeprefix("on disk").removesuffix("kB").replace(",", ""))
    assert kilobytes == pytest.approx((adapter / "model.safetensors").stat().st_size / 1e3, abs=0.1)


def test_a_checkpoint_is_told_from_an_adapter(run, checkpoint):
    code, out, _ = run("info", checkpoint)
    assert code == 0
    assert "ViTForImageClassification" in out and "no adapter yet" in out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./nowhere", "There is no folder './nowhere'."),
        ("nobody/nothing", "There is no folder 'nobody/nothing', and the Hub gave no such repository"),
        ("not an id", "There is no folder 'not an id', and the Hub gave no such repository"),
    ],
)
def test_what_is_not_there_is_refused(refuses, name, sentence):
    assert sentence in refuses("info", name)


def test_a_folder_without_configuration_is_refused(refuses, tmp_path):
    assert "holds no config.json" in refuses("info", tmp_path)
