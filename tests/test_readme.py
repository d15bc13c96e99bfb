"""The README's first two code blocks run as they are printed, on a small checkpoint and a folder of images."""

import re
import warnings
from pathlib import Path

import pytest
from images import images
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    labels = {0: "cat", 1: "dog"}
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        id2label=labels,
    )
    config.label2id = {name: i for i, name in labels.items()}
    ViTForImageClassification(config).save_pretrained(tmp_path / "checkpoint")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "checkpoint")
    for split in ("train", "validation", "test"):
        for label in labels.values():
            folder = tmp_path / "my-images" / split / label
            folder.mkdir(parents=True)
            for i, x in enumerate(images(16 if split == "validation" else 4, 40)):
                Image.fromarray((x * 40 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()).save(folder / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_wrap_to_reload(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"## From wrap to reload\n\n```python\n(.*?)```", README.read_text(), re.DOTALL)
    (later,) = re.findall(r"## Know when not to act\n.*?```python\n(.*?)```", README.read_text(), re.DOTALL)
    code = (block + later).replace("google/vit-base-patch16-224", str(workplace / "checkpoint"))
    assert code != block + later
    # The public defaults, and so the warnings of what they import, are the reader's own affair.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names: dict[str, object] = {}
        exec(compile(code, "README.md", "exec"), names)
    assert names["out"].logits.shape == (1, 2)  # type: ignore[attr-defined]
    printed = capsys.readouterr().out
    for words in ("upright tax", "RECOMMENDED", "the set holds the true pose of at least 90 %"):
        assert words in printed
    assert (workplace / "vit-d4/report.json").is_file()
    assert (workplace / "vit-d4-report/index.html").is_file()
