"""Every kind of data that the commands read."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from transformers import ViTConfig

from hf_canon.data.named import load_images

CONFIG = ViTConfig(id2label={0: "bird", 1: "cat", 2: "dog"}, label2id={"bird": 0, "cat": 1, "dog": 2})


def load(data, split=None, usual=("train",), config=CONFIG):
    return load_images(str(data), split, usual, config)


def check(dataset, first, label):
    assert dataset.column_names == ["image", "label"]
    np.testing.assert_array_equal(np.asarray(dataset[0]["image"]), np.asarray(first))
    feature = dataset.features["label"]
    assert (
        dataset[0]["label"] == label if not hasattr(feature, "names") else feature.names[dataset[0]["label"]] == label
    )


def test_class_folders(photos, image):
    dataset = load(photos)
    assert len(dataset) == 12
    check(dataset, image(0), "bird")


def test_a_saved_data_set_with_splits(image, tmp_path):
    def rows(seed):
        return Dataset.from_list([{"x": 1, "photo": image(seed), "labels": 2}]).cast_column("photo", ImageFeature())

    DatasetDict(train=rows(0), test=rows(1)).save_to_disk(tmp_path / "saved")
    check(load(tmp_path / "saved", "test"), image(1), 2)
    check(load(tmp_path / "saved", usual=("validation", "train")), image(0), 2)
    with pytest.raises(ValueError, match="has no split 'validation'; choose with --split from: train, test"):
        load(tmp_path / "saved", "validation")


def test_a_saved_data_set_without_splits(image, tmp_path):
    dataset = Dataset.from_list([{"image": image(0), "label": 1}]).cast_column("image", ImageFeature())
    dataset.save_to_disk(tmp_path / "saved")
    check(load(tmp_path / "saved", "test"), image(0), 1)


def test_a_table_of_paths(photos, image, tmp_path):
    (tmp_path / "table.csv").write_text(f"file,label\nphotos/dog/0.png,dog\n{photos}/cat/1.png,cat\n")
    check(load(tmp_path / "table.csv"), image(200), "dog")


@pytest.mark.parametrize("kind", ["declared", "struct", "bytes"])
def test_a_parquet_file(photos, image, tmp_path, kind):
    content = (photos / "cat" / "0.png").read_bytes()
    if kind == "declared":
        features = Features(img=ImageFeature(), label=Value("int64"))
        dataset = Dataset.from_list([{"img": {"bytes": content, "path": None}, "label": 1}], features=features)
    else:
        stored = {"bytes": content, "path": None} if kind == "struct" else content
        dataset = Dataset.from_list([{"img": stored, "label": 1}])
    dataset.to_parquet(tmp_path / "data.parquet")
    check(load(tmp_path / "data.parquet"), image(100), 1)


def test_images_come_in_the_mode_that_the_checkpoint_takes(photos):
    grey = ViTConfig(num_channels=1, id2label=CONFIG.id2label, label2id=CONFIG.label2id)
    assert load(photos, config=grey)[0]["image"].mode == "L"
    assert load(photos)[0]["image"].mode == "RGB"


def test_a_checkpoint_without_class_names_takes_classes_in_order(photos):
    assert load(photos, config=ViTConfig(num_labels=3)).features["label"].names == ["bird", "cat", "dog"]


def test_what_holds_no_images_is_refused(tmp_path):
    empty, text = tmp_path / "empty", tmp_path / "text"
    empty.mkdir()
    text.mkdir()
    (text / "notes.md").write_text("no image")
    (tmp_path / "numbers.csv").write_text("a,b\n1,2\n")
    (tmp_path / "header.csv").write_text("image,label\n")
    (tmp_path / "broken.parquet").write_bytes(b"not parquet")
    (tmp_path / "photo.png").write_bytes(b"")
    Dataset.from_dict({"image": []}).save_to_disk(tmp_path / "none")
    for name, sentence in {
        "empty": "is empty",
        "text": "holds no images and no table",
        "numbers.csv": "None of the columns of",
        "header.csv": "is empty or is no csv file",
        "broken.parquet": "is empty or is no parquet file",
        "photo.png": "neither a folder nor a parquet or csv file",
        "none": "is empty or damaged",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            load(tmp_path / name)
