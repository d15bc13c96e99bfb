"""What a page begins with, what it remembers, and what a bad example does not spoil."""

import shutil
from pathlib import Path

import pytest
from demo.conftest import draw

from hf_canon.demo import Offered
from hf_canon.demo.actions import ADAPTERS_OWN, EXAMPLE_TURN, Actions
from hf_canon.demo.answering import best
from hf_canon.demo.image import answer_image, mode_of, open_image, transformed


@pytest.fixture(scope="module")
def actions(adapter: Path, audio_model: Path, photos: Path, melodies: Path, tmp_path_factory) -> Actions:
    spoiled = tmp_path_factory.mktemp("examples")
    shutil.copytree(photos, spoiled / "photos")
    shutil.copytree(melodies, spoiled / "melodies")
    (spoiled / "photos/bird/0.png").write_bytes(b"no image")
    (spoiled / "melodies/a.wav").write_bytes(b"no audio")
    offered = Offered((str(adapter), str(audio_model)), str(spoiled / "photos"), str(spoiled / "melodies"))
    return Actions(offered)


def test_a_page_begins_with_the_first_example_that_the_checkpoint_alone_loses(actions, opened):
    def changes(path: Path) -> bool:
        image = open_image(path, mode_of(opened))
        said = [answer_image(opened, one, None)[0].before for one in (image, transformed(image, turn=EXAMPLE_TURN))]
        return best(said[0]) != best(said[1])

    changed = [changes(path) for path in actions.shown["image"]]
    assert actions.telling("image") == (changed.index(True) if any(changed) else 0)
    path, turn, *answers = actions.begin("image")
    assert (Path(path), turn) == (actions.shown["image"][actions.telling("image")], EXAMPLE_TURN)
    assert answers[-1]["before"] == actions.image(path, turn)[-1]["before"]
    audio, speed, *answers = actions.begin("audio")
    assert answers[-1] == actions.audio(audio, speed=speed)[-1]


def test_answers_to_examples_are_remembered_and_those_to_visitors_are_not(actions, tmp_path):
    example = str(actions.shown["image"][0])
    draw(77).save(tmp_path / "mine.png")
    first, again = (actions.image(example, 33)[-1] for _ in range(2))
    assert first is again
    before = dict(actions._remembered)
    mine, once_more = (actions.image(str(tmp_path / "mine.png"), 33)[-1] for _ in range(2))
    assert mine is not once_more
    assert mine["after"] == once_more["after"]
    assert actions._remembered == before
    other = actions.image(example, 34)[-1]
    by_rule = actions.image(example, 33, rule="orbit")[-1]
    assert other is not first and by_rule["rule"] == "orbit"


def test_a_bad_example_is_counted_and_hides_no_other(actions):
    assert len(actions.shown["image"]) == 7
    assert len(actions.shown["audio"]) == 4
    for tally in (
        actions._failures("image", ADAPTERS_OWN, "", "", Silent())[0],
        actions._failures("audio", ADAPTERS_OWN, "", "", Silent())[0],
    ):
        assert "1 more could not be read." in tally


class Silent:
    """Progress that nobody sees."""

    def tqdm(self, values, **how):
        return values
