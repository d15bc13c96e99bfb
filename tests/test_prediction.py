"""A data set answered in parts: every row once, whatever happens in between."""

import json
import shutil
from io import BytesIO
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, IterableDataset, Value
from PIL import Image
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)
from transformers.utils import logging

from hf_canon import CanonicalizedModel
from hf_canon.prediction import batches, dataset, predict_dataset
from hf_canon.prediction.fingerprints import model_identity

SIZE, ROWS, BROKEN = 16, 23, 7
CLASSES = ("bird", "cat", "dog")
FEATURES = Features(id=Value("string"), kind=ClassLabel(names=list(CLASSES)), image=datasets.Image())


def encoded(seed, size=(20, 20)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "png")
    return buffer.getvalue()


def rows(n=ROWS, broken=BROKEN):
    """Rows as a parquet file holds them; one image is cut off."""
    for i in range(n):
        content = encoded(i)
        image = {"bytes": content[:60] if i == broken else content, "path": f"{i}.png"}
        yield {"id": f"number {i}", "kind": i % 3, "image": image}


def table(**kwargs):
    return Dataset.from_list(list(rows(**kwargs)), features=FEATURES)


def stream(**kwargs):
    return table(**kwargs).to_iterable_dataset(num_shards=3)


def predictor():
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIZE,
        patch_size=8,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: i for i, name in enumerate(CLASSES)},
        initializer_range=0.5,  # confident: answers differ from row to row
    )
    return ViTForImageClassification(config)


def wrap(group="c8", canonicalizer="orbit"):
    base = predictor()
    torch.manual_seed(1)
    return CanonicalizedModel.wrap(base, group=group, canonicalizer=canonicalizer)


@pytest.fixture(scope="module")
def model():
    return wrap()


@pytest.fixture
def processor():
    return ViTImageProcessor(size={"height": SIZE, "width": SIZE})


@pytest.fixture
def answer(model, processor, tmp_path):
    """Answer a data set into the folder `name`: in parts of five rows and batches of three, if not told otherwise."""

    def call(data, name="answers", **kwargs):
        given = {"batch_size": 3, "rows_per_part": 5, "columns": ["id"]} | kwargs
        return predict_dataset(given.pop("model", model), data, tmp_path / name, processor, **given)

    return call


@pytest.fixture
def read(tmp_path):
    """All that is in a folder, as `datasets` reads it."""

    def call(name="answers"):
        files = str(tmp_path / name / "*.parquet")
        cache = tmp_path / f"cache {len(list(tmp_path.iterdir()))}"
        return datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(cache))

    return call


@pytest.mark.parametrize("make", [table, stream])
@pytest.mark.parametrize(("group", "canonicalizer"), [("c8", "orbit"), ("d4", "orbit"), ("so2", "shift")])
def test_every_row_has_the_answer_of_the_python_call(answer, read, processor, make, group, canonicalizer):
    model = wrap(group, canonicalizer)
    summary = answer(make(), model=model, columns=["id", "kind", "image"])
    assert (summary.rows, summary.errors, summary.answered) == (ROWS, 1, ROWS)
    found = read()
    assert found["index"] == list(range(ROWS))
    assert found.features["kind"] == FEATURES["kind"]
    assert len(set(found["element"])) > 2
    for given, row in zip(rows(), found, strict=True):
        assert (row["id"], row["kind"], row["image"]) == (given["id"], given["kind"], given["image"]["path"])
        number = "element_index" if model.group.finite else "element_angle"
        if row["index"] == BROKEN:
            assert row["error"].startswith("The image cannot be read: ")
            assert {row[name] for name in ("label", "probability", "element", number, "pose_probability")} == {None}
            continue
        with torch.no_grad():
            out = model(**processor(Image.open(BytesIO(given["image"]["bytes"])), return_tensors="pt"))
        element = out.canonicalization.element.item()
        assert row["error"] is None
        assert row["label"] == CLASSES[out.logits.argmax()]
        assert row["probability"] == pytest.approx(out.logits.softmax(-1).max().item(), abs=1e-5)
        assert row[number] == pytest.approx(element, abs=1e-4)
        assert row["element"] == model.group.describe(row[number])
        assert row["pose_probability"] == pytest.approx(out.canonicalization.confidence.item(), abs=1e-5)
        assert row["action"] == "canonicalized"


def test_parts_are_fixed_ranges_and_no_batch_crosses_one(answer, model, tmp_path):
    sizes = []
    hook = model.predictor.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    answer(table(n=12, broken=None))
    hook.remove()
    assert sizes == [3, 2, 3, 2, 2]
    parts = sorted((tmp_path / "answers").glob("*.parquet"))
    assert [path.name for path in parts] == [f"part-00000{k}.parquet" for k in range(3)]
    assert [pq.read_table(path)["index"].to_pylist() for path in parts] == [[*range(5)], [*range(5, 10)], [10, 11]]


@pytest.mark.parametrize("make", [table, stream])
def test_a_process_writes_its_own_parts_alone_and_the_rest_is_missed(answer, tmp_path, monkeypatch, make):
    second = SimpleNamespace(
        process_index=1, num_processes=2, is_main_process=True, device="cpu", wait_for_everyone=lambda: None
    )
    monkeypatch.setattr(dataset, "processes", lambda: second)
    with pytest.raises(ValueError, match="Parts have vanished"):
        answer(make())
    assert sorted(path.name for path in (tmp_path / "answers").glob("*.parquet")) == [
        "part-000001.parquet",
        "part-000003.parquet",
    ]
    assert json.loads((tmp_path / "answers" / "manifest.json").read_text())["finished"] is None


@pytest.mark.parametrize("make", [table, stream])
def test_images_prepared_in_other_processes_get_the_same_answers(answer, read, make):
    answer(make(), "alone")
    answer(make(), "workers", num_workers=2)
    assert read("workers").to_list() == read("alone").to_list()


def test_images_of_several_sizes_are_answered_one_by_one(read, tmp_path):
    torch.manual_seed(0)
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=3)
    model = CanonicalizedModel.wrap(ResNetForImageClassification(config), group="c4", canonicalizer="orbit")
    as_it_is = ViTImageProcessor(do_resize=False)
    sizes = [(16, 16), (24, 24), (16, 24), (16, 16)]
    images = [Image.open(BytesIO(encoded(i, size))) for i, size in enumerate(sizes)]
    predict_dataset(model, Dataset.from_dict({"image": images}), tmp_path / "answers", as_it_is, columns=[])
    *_, oblong, _ = found = read().to_list()
    assert "this input is 16 x 24" in oblong["error"]
    for i in (0, 1, 3):
        with torch.no_grad():
            out = model(**as_it_is(images[i], return_tensors="pt"))
        assert found[i]["probability"] == pytest.approx(out.logits.softmax(-1).max().item(), abs=1e-6)


def sharded(opened, fail_at=None):
    """A stream of five shards of four rows, which notes in `opened` those that are read."""

    def generate(shards):
        for shard in shards:
            with open(opened, "a") as log:
                log.write(f"{shard} ")
            for i in range(4 * shard, 4 * shard + 4):
                if i == fail_at:
                    raise ConnectionError("gone")
                yield {"id": str(i), "kind": 0, "image": {"bytes": encoded(i), "path": None}}

    return IterableDataset.from_generator(generate, gen_kwargs={"shards": list(range(5))}, features=FEATURES)


@pytest.mark.parametrize("fail_at", [3, 4, 5, 6, 14, 15, 16, 19])
def test_a_stream_that_breaks_off_goes_on_in_its_shard_with_no_row_lost_or_doubled(answer, read, tmp_path, fail_at):
    log = tmp_path / "opened"
    with pytest.raises(ConnectionError):
        answer(sharded(log, fail_at))
    whole = len(list((tmp_path / "answers").glob("*.parquet")))
    assert whole in (fail_at // 5, max(0, fail_at // 5 - 1))  # a part is written once the next batch is read
    log.write_text("")
    summary = answer(sharded(log), batch_size=2)
    assert (summary.rows, summary.answered) == (20, 20 - 5 * whole)
    assert log.read_text().split()[-1] == "4"
    resumed = log.read_text().split()[1:]  # the first row of all says whether it is the same data
    assert resumed == [str(shard) for shard in range(5 * whole // 4, 5)]
    assert read()["id"] == [str(i) for i in range(20)]


def test_a_shuffled_stream_goes_on_with_no_row_lost_or_doubled(answer, read, tmp_path):
    def shuffled():
        return stream().shuffle(seed=3, buffer_size=6)

    answer(shuffled(), "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "answers")
    for part in (2, 4):
        (tmp_path / "answers" / f"part-00000{part}.parquet").unlink()
    assert answer(shuffled()).answered == 5 + 3
    assert read().to_list() == read("whole").to_list()
    assert sorted(read()["id"]) == sorted(row["id"] for row in rows())


@pytest.mark.parametrize("make", [table, stream])
@pytest.mark.parametrize("gone", [[0], [1, 3], [1, 4], [4], [0, 1, 2, 3, 4], []])
def test_missing_parts_are_written_again_and_nothing_else_is(answer, read, tmp_path, monkeypatch, make, gone):
    answer(make(), "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "answers")
    for part in gone:
        (tmp_path / "answers" / f"part-00000{part}.parquet").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "answers").glob("*.parquet")}
    opened, open_image = count(), batches.open_image
    monkeypatch.setattr(batches, "open_image", lambda value: next(opened) is None or open_image(value))
    summary = answer(make())
    missing = sum(5 if part < 4 else 3 for part in gone)
    assert (summary.rows, summary.errors, summary.answered) == (ROWS, 1, missing)
    assert next(opened) == missing
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert read().to_list() == read("whole").to_list()


def test_what_a_killed_run_left_half_written_does_not_matter(answer, read, tmp_path):
    answer(table(), "whole")
    folder = tmp_path / "answers"
    shutil.copytree(tmp_path / "whole", folder)
    (folder / "part-000001.parquet").rename(folder / "part-000001.parquet.partial")
    (folder / "part-000002.parquet").write_bytes((folder / "part-000002.parquet").read_bytes()[:200])
    (folder / "manifest.json.partial").write_text("{")
    assert answer(table()).answered == 10
    assert read().to_list() == read("whole").to_list()
    empty = tmp_path / "killed at once"
    empty.mkdir()
    (empty / "manifest.json.partial").write_text("{")
    assert answer(table(), empty.name).answered == ROWS


def test_no_bar_is_needed(answer, read):
    answer(table(), "with a bar")
    logging.disable_progress_bar()
    try:
        answer(table())
    finally:
        logging.enable_progress_bar()
    assert read().to_list() == read("with a bar").to_list()


def test_a_broken_image_in_a_mapped_stream_gets_its_row_if_it_was_not_decoded(answer, read):
    encoded = stream().cast_column("image", datasets.Image(decode=False))
    answer(encoded.rename_column("id", "name"), columns=["name"])
    assert [row["index"] for row in read() if row["error"]] == [BROKEN]


def test_a_finished_folder_says_so(answer, tmp_path):
    first = answer(table())
    assert str(first).startswith("23 rows, 1 errors, ") and str(first).endswith(" rows per second.")
    finished = json.loads((tmp_path / "answers" / "manifest.json").read_text())["finished"]
    assert finished == {"rows": ROWS, "errors": 1, "parts": 5}
    assert str(answer(table())) == "23 rows, 1 errors; all were answered already."


def test_a_folder_of_other_answers_is_refused_with_the_difference(answer, model, processor, tmp_path):
    answer(table())
    other = wrap()
    with torch.no_grad():
        next(other.canonicalizer.parameters()).add_(1e-3)
    retrained = wrap()
    with torch.no_grad():
        next(retrained.predictor.parameters()).add_(1e-3)
    changed = Dataset.from_list([*list(rows())[:-1], next(rows(n=1))], features=FEATURES)
    for named, data, kwargs in [
        ("rows_per_part 5, and this run has 6", table(), {"rows_per_part": 6}),
        (r"columns \['id'\], and this run has \['kind'\]", table(), {"columns": ["kind"]}),
        ("canonicalizer_weights", table(), {"model": other}),
        ("predictor_weights", table(), {"model": retrained}),
        ("model_config", table(), {"model": wrap("d4")}),
        ("data_rows 23, and this run has 22", table(n=22), {}),
        ("data_sample", changed, {}),
        ("data_rows 23, and this run has None", stream(), {}),
    ]:
        with pytest.raises(ValueError, match=rf"^The answers in '.*answers' were begun with {named}"):
            answer(data, **kwargs)
    plain = ViTImageProcessor(size={"height": SIZE, "width": SIZE}, do_normalize=False)
    with pytest.raises(ValueError, match="were begun with processor"):
        predict_dataset(model, table(), tmp_path / "answers", plain, rows_per_part=5, columns=["id"])
    assert answer(table(), batch_size=4).answered == 0


def test_a_folder_of_something_else_is_refused(answer, tmp_path):
    for name, file in {"photos": "1.png", "parts": "part-000000.parquet", "site": "manifest.json"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("{}")
        with pytest.raises(ValueError, match="holds something else than answers|is not one of answers"):
            answer(table(), name)
        assert (tmp_path / name / file).read_text() == "{}"
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        answer(table(), "file")


def test_a_model_is_the_same_wherever_it_lies_and_another_with_other_weights(tmp_path, processor):
    predictor().save_pretrained(tmp_path / "checkpoint")
    model = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="c8", canonicalizer="shift")
    model.save_pretrained(tmp_path / "adapter")
    reloaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    shutil.move(tmp_path / "checkpoint", tmp_path / "elsewhere")
    transformed = ViTForImageClassification.from_pretrained(tmp_path / "elsewhere")
    elsewhere = CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=transformed)
    identity = model_identity(model, processor)
    assert model_identity(reloaded, processor) == model_identity(elsewhere, processor) == identity
    assert model_identity(model.to(torch.bfloat16), processor) != identity


@pytest.mark.parametrize(
    ("data", "kwargs", "sentence"),
    [
        (table(), {"columns": ["name"]}, "has no column 'name' to keep; it has 'id', 'kind', 'image'"),
        (table().rename_column("kind", "label"), {"columns": ["label"]}, "have a column 'label' of their own"),
        (
            table().add_column("thumb", [r["image"] for r in rows()]).cast_column("thumb", datasets.Image()),
            {"columns": ["thumb"]},
            "'thumb' holds images or the like",
        ),
        (datasets.DatasetDict(train=table()), {}, "This is a DatasetDict"),
        (table().select([]), {}, "is empty"),
        (IterableDataset.from_generator(lambda: iter(())), {"columns": None}, "is empty"),
        (Dataset.from_dict({"a": [1]}), {}, "no image"),
        (table(), {"batch_size": 0}, "batch_size=0"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(answer, tmp_path, data, kwargs, sentence):
    with pytest.raises(ValueError, match=sentence):
        answer(data, **kwargs)
    assert not (tmp_path / "answers").exists()


def test_a_processor_whose_images_never_fit_the_group_is_refused(model, tmp_path):
    oblong = ViTImageProcessor(size={"height": SIZE, "width": 2 * SIZE})
    with pytest.raises(ValueError, match="this input is 16 x 32"):
        predict_dataset(model, table(), tmp_path / "answers", oblong)
    assert not (tmp_path / "answers").exists()


def test_a_stream_of_unknown_columns_keeps_file_names(answer, read, tmp_path):
    paths = []
    for i in range(4):
        paths.append(str(tmp_path / f"{i}.png"))
        Path(paths[-1]).write_bytes(encoded(i))
    Path(paths[2]).unlink()

    def unknown():
        return IterableDataset.from_generator(lambda: ({"image": path, "id": "x"} for path in paths))

    answer(unknown(), columns=None, rows_per_part=2)
    found = read()
    assert found["image"] == paths
    assert found["error"] == [None, None, "The image cannot be read: there is no such file.", None]
    with pytest.raises(ValueError, match="does not say what its column 'id' holds"):
        answer(unknown(), "other")
