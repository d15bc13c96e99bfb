from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTImageProcessorPil

from hf_canon.data.batches import Batches
from hf_canon.data.images import to_pixel_values

PROCESSOR = ViTImageProcessorPil(size={"height": 8, "width": 8})
RGB = SimpleNamespace(num_channels=3, num_labels=5, label2id={"ant": 0, "bee": 1, "cat": 2, "dog": 3, "elk": 4})


def image(i: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


@pytest.fixture
def dataset() -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {"image": [image(i) for i in range(5)], "label": [0, 1, 2, 3, 4]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")}),
    )


def read(data, **kwargs):
    kwargs = {"processor": PROCESSOR, "batch_size": 2, "model_config": RGB, **kwargs}
    batches = list(Batches(data, **kwargs))
    pixel_values = torch.cat([batch.inputs["pixel_values"] for batch in batches])
    answers = [answer for batch in batches for answer in batch.labels or [None] * len(batch.inputs["pixel_values"])]
    return pixel_values, answers


class WithoutIter:
    """A map-style data set that never raises IndexError."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i % len(self.items)]


def test_every_kind_of_data_set_gives_the_same_batches(dataset):
    pixel_values, answers = read(dataset)
    assert pixel_values.shape == (5, 3, 8, 8) and answers == [(i,) for i in range(5)]
    items = list(dataset)
    processed = [
        {
            "pixel_values": PROCESSOR(images=item["image"], return_tensors="pt")["pixel_values"][0],
            "label": item["label"],
        }
        for item in items
    ]
    finished = [
        {"pixel_values": pixel_values[:3], "labels": torch.tensor([0, 1, 2])},
        {"pixel_values": pixel_values[3:], "labels": torch.tensor([3, 4])},
    ]
    kinds = {
        "list": items,
        "streaming": dataset.to_iterable_dataset(),
        "generator": (item for item in items),
        "map-style": WithoutIter(items),
        "pixel values": processed,
        "lists of numbers": [{**item, "pixel_values": item["pixel_values"].tolist()} for item in processed],
        "transformed": dataset.with_transform(
            lambda batch: {
                "pixel_values": PROCESSOR(images=batch["image"], return_tensors="pt")["pixel_values"],
                "label": batch["label"],
            }
        ),
        "loader": torch.utils.data.DataLoader(processed, batch_size=2),
        "finished batches": finished,
        "other name": [{"photo": item["image"], "labels": item["label"]} for item in items],
        "img": dataset.rename_column("image", "img"),
    }
    for kind, data in kinds.items():
        found, found_answers = read(data)
        torch.testing.assert_close(found, pixel_values, rtol=0, atol=1e-6, msg=kind)
        assert found_answers == answers, kind


def test_the_number_of_batches_is_known_where_it_can_be(dataset):
    assert Batches(dataset, PROCESSOR, 2).total == 3
    assert Batches(dataset.to_iterable_dataset(), PROCESSOR, 2).total is None
    assert (
        Batches(torch.utils.data.DataLoader(dataset.to_iterable_dataset(), batch_size=None), PROCESSOR, 2).total
        is None
    )
    assert Batches([{"pixel_values": torch.zeros(4, 3, 8, 8)}] * 2, batch_size=2).total == 2


@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGBA", 3), ("P", 3), ("RGB", 1), ("L", 1)])
def test_images_get_the_channels_that_the_model_reads(mode, channels):
    processor = ViTImageProcessorPil(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.5])
    config = SimpleNamespace(num_channels=channels)
    processor = PROCESSOR if channels == 3 else processor
    found, _ = read([{"image": image(0, mode)}], processor=processor, model_config=config)
    assert found.shape == (1, channels, 8, 8)


def test_labels_are_matched_by_name_where_the_model_knows_the_names(dataset):
    shuffled = ["elk", "dog", "cat", "bee", "ant"]
    named = dataset.cast_column("label", datasets.ClassLabel(names=shuffled))
    assert read(named)[1] == [(4,), (3,), (2,), (1,), (0,)]
    foreign = dataset.cast_column("label", datasets.ClassLabel(names=list("vwxyz")))
    assert read(foreign)[1] == [(i,) for i in range(5)]
    mixed = dataset.cast_column("label", datasets.ClassLabel(names=["x", *shuffled[1:]]))
    with pytest.raises(ValueError, match="the model has no 'x'"):
        read(mixed)


def test_a_label_may_list_every_right_class(dataset):
    items = [{"image": image(0), "kinds": [1, 3]}, {"image": image(1), "kinds": [2]}]
    assert read(items, label_column="kinds")[1] == [(1, 3), (2,)]


@pytest.mark.parametrize("missing", [None, -1, -100])
def test_no_labels_at_all_is_fine_and_some_are_not(missing):
    assert read([{"image": image(0)}])[1] == [None]
    assert read([{"image": image(0), "label": missing}])[1] == [None]
    with pytest.raises(ValueError, match="Some items have a label and some have none"):
        read([{"image": image(i), "label": label} for i, label in enumerate([1, 2, missing])])
    with pytest.raises(ValueError, match="Some items have a label and some have none"):
        read([{"image": image(i), "label": label} for i, label in enumerate([missing, missing, missing, 0])])


@pytest.mark.parametrize(
    ("data", "kwargs", "sentence"),
    [
        ([], {}, "The data set is empty"),
        (iter([]), {}, "The data set is empty"),
        ({"train": [1], "test": [2]}, {}, r"'train', 'test'.*dataset\['test'\]"),
        ("mnist", {}, "'mnist' is no data set"),
        (7, {}, "7 is no data set"),
        ([(torch.zeros(3, 8, 8), 0)], {}, "An item of the data set is a tuple"),
        ([{"text": "a", "label": 0}], {}, "no image among the columns 'text', 'label'"),
        ([{"left": image(0), "right": image(1)}], {}, "2 images among the columns"),
        ([{"image": image(0)}], {"processor": None}, r"AutoImageProcessor.from_pretrained"),
        ([{"image": image(0)}], {"label_column": "kind"}, "no column 'kind'.*'image'"),
        ([{"image": image(0), "label": 5}], {}, "The label 5 has no class in this model, which has 5"),
        ([{"pixel_values": torch.zeros(3, n, n)} for n in (8, 9)], {}, "different shapes"),
        ([{"image": image(0)}], {"batch_size": 0}, "A batch of 0 images"),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(data, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(data, **kwargs)


def test_images_by_hand():
    tensor = torch.rand(3, 8, 8)
    assert to_pixel_values(tensor, None).shape == (1, 3, 8, 8)
    assert to_pixel_values([tensor, tensor], None).shape == (2, 3, 8, 8)
    assert to_pixel_values(image(0), PROCESSOR, RGB).shape == (1, 3, 8, 8)
    assert to_pixel_values([image(0), image(1)], PROCESSOR, RGB).shape == (2, 3, 8, 8)
