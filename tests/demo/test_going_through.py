"""Every rotation, every speed, and every example: the figures are those of asking one by one."""

import pytest
import torch
from demo.conftest import RATE, draw, sing
from PIL import Image

from hf_canon.demo import Offered
from hf_canon.demo.answering import best
from hf_canon.demo.audio import answer_audio
from hf_canon.demo.audio import transformed as transformed_audio
from hf_canon.demo.examples import Example, Examples, in_turns
from hf_canon.demo.failures import drawn, find_failures
from hf_canon.demo.image import answer_image, transformed
from hf_canon.demo.sweep import AUDIO_WAYS, IMAGE_WAYS, sweep_audio, sweep_image
from hf_canon.groups import get_group


def test_a_sweep_asks_about_every_move_of_one_kind(opened):
    image = draw(0, 32)
    for name, way in IMAGE_WAYS.items():
        sweep = sweep_image(opened, image, name, None, track=iter)
        assert sweep.label == best(answer_image(opened, image, None)[0].before)
        assert len(sweep.curves["before"]) == len(sweep.curves["after"]) == len(way.values)
        for index in (0, 1, len(way.values) // 2):
            answer, _, _ = answer_image(opened, transformed(image, **{way.argument: way.values[index]}), None)
            assert sweep.curves["before"][index] == answer.before[sweep.label]
            assert sweep.curves["after"][index] == answer.after[sweep.label]
    # Over d4 nothing changes from one quarter turn to the next.
    rotations = sweep_image(opened, image, "rotation", None, track=iter)
    quarters = [rotations.curves["after"][i] for i in range(0, 72, 18)]
    assert len(set(quarters)) == 1
    assert len({rotations.curves["before"][i] for i in range(0, 72, 18)}) > 1


def test_a_sweep_of_a_audio(opened_audio_model):
    audio = sing(1)
    for name, way in AUDIO_WAYS.items():
        sweep = sweep_audio(opened_audio_model, audio, name, None, track=iter)
        answer, _ = answer_audio(
            opened_audio_model, transformed_audio(audio, RATE, **{way.argument: way.values[3]}), None
        )
        assert sweep.curves["after"][3] == answer.after[sweep.label]
        assert 0 <= sweep.kept["before"] <= 1


def test_a_image_without_colours_has_no_tints(opened):
    with pytest.raises(ValueError, match="without colours"):
        sweep_image(opened, draw(0).convert("L"), "tint", None, track=iter)


def test_failures_are_all_right_answers_that_became_wrong(opened):
    examples = [Example(str(seed), draw(seed, 32), None) for seed in range(30)]
    found = find_failures(opened, examples, "argmax", track=iter)
    hurt = [
        example.name
        for example in examples
        for answer in [answer_image(opened, example.content, "argmax")[0]]
        if best(answer.before) != best(answer.after)  # unlabelled: its own answer is the right one
    ]
    came = [one for one in found.failures if one.pose == "as it came"]
    assert [one.example.name for one in came] == hurt
    assert found.came.hurt == len(hurt) > 0
    assert (found.came.asked, found.came.before, found.labelled) == (30, 30, 0)
    assert found.came.before - found.came.hurt + found.came.helped == found.came.after
    assert found.transformed.before - found.transformed.hurt + found.transformed.helped == found.transformed.after
    for one in found.failures:
        assert one.before == one.expected != one.after
    again = find_failures(opened, examples, "argmax", track=iter)
    assert [(one.example.name, one.pose) for one in again.failures] == [
        (one.example.name, one.pose) for one in found.failures
    ]


def test_where_there_are_labels_they_judge_and_what_is_flagged_is_counted(opened):
    images = [draw(seed, 32) for seed in range(30)]
    wrong = [
        Example(str(seed), image, next(name for name in ("bird", "cat", "dog") if name not in said))
        for seed, image in enumerate(images)
        for said in [
            {
                best(answer_image(opened, image, None)[0].before),
                best(answer_image(opened, image, None)[0].after),
            }
        ]
    ]
    found = find_failures(opened, wrong, None, track=iter)
    assert (found.labelled, found.came.before, found.came.after) == (30, 0, 0)
    assert not [one for one in found.failures if one.pose == "as it came"]
    plain = [Example(one.name, one.content, None) for one in wrong]
    by_abstain = find_failures(opened, plain, "abstain", track=iter)
    assert by_abstain.came.hurt == find_failures(opened, plain, "argmax", track=iter).came.hurt
    flagged = [one for one in by_abstain.failures if one.pose == "as it came" and one.action == "abstained"]
    assert by_abstain.came.flagged == len(flagged)


def test_failures_among_clips(opened_audio_model, melodies):
    examples = Examples(Offered((), clips=str(melodies))).clips()
    found = find_failures(opened_audio_model, examples, None, track=iter)
    assert found.came.asked == found.transformed.asked == 4
    assert all(one.seen is None for one in found.failures)


def test_examples_take_turns_among_classes_and_are_read_one_by_one(photos, melodies):
    examples = Examples(Offered((), images=str(photos), clips=str(melodies)))
    images = examples.images(7)
    assert [one.label for one in images] == ["bird", "cat", "dog"] * 2 + ["bird"]
    assert isinstance(images[0].content, Image.Image)
    assert len(examples.images()) == 12
    assert [one.name for one in examples.clips(2)] == ["melody0", "melody1"]
    with pytest.raises(ValueError, match="no audio in the folder"):
        Examples(Offered((), clips=str(photos))).clips()
    assert in_turns([1, 1, 1]) == [0, 1, 2]
    own = Examples(Offered(()))
    assert all(min(one.content.size) >= 150 for one in own.images())
    assert all(one.content.is_file() for one in own.clips())


def test_a_class_of_a_folder_is_one_of_the_checkpoint_or_no_label(opened):
    example = Example("x", draw(0, 32), "submarine")
    assert find_failures(opened, [example], None, track=iter).labelled == 0


@pytest.mark.parametrize("name", ["c1", "c4", "d4", "reverse", "speed12"])
def test_examples_are_transformed_by_any_element_but_the_identity(name):
    group, generator = get_group(name), torch.Generator().manual_seed(0)
    elements = {drawn(group, generator) for _ in range(100)}
    if group.order == 1:
        assert elements == {group.identity}
    else:
        assert len(elements) == (100 if group.order is None else group.order - 1)
        assert group.identity not in elements
