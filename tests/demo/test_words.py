"""What the page says: true, and harmless whatever a checkpoint calls its classes."""

from dataclasses import replace

import pytest
from demo.conftest import draw

from hf_canon.demo import drawings, words
from hf_canon.demo.failures import Found, Tally
from hf_canon.demo.image import answer_image, transformed
from hf_canon.demo.sweep import IMAGE_WAYS, Sweep
from hf_canon.groups import get_group
from hf_canon.selection import Action

HOSTILE = "<img src=x onerror=alert(1)>**[a](javascript:b)** &lt;b&gt; https://evil.example www.evil.example"


def test_the_verdict_says_what_was_found_and_done(opened):
    answer, _, _ = answer_image(opened, transformed(draw(0), turn=90), "argmax")
    said = words.verdict(answer)
    assert answer.element in said
    assert "rule argmax" in said
    assert all(f"{part} {1000 * seconds:.1f} ms" in said for part, seconds in answer.seconds.items())
    for action in Action:
        text = words.verdict(replace(answer, action=action))
        assert ("Do not rely" in text) == (action == Action.ABSTAINED)
        assert ("Left as it came" in text) == (action == Action.LEFT_ALONE)
        assert ("unsure" in text.split(">")[0]) == (action in (Action.ABSTAINED, Action.LEFT_ALONE))
    assert "Nothing to undo" in words.verdict(replace(answer, transformed=False, action=Action.CANONICALIZED))


def test_names_of_strangers_are_shown_as_they_are(opened):
    answer, _, _ = answer_image(opened, draw(0), None)
    spoiled = replace(answer, element=HOSTILE, likely={HOSTILE: 1.0})
    assert "<img" not in words.verdict(spoiled)
    drawn = drawings.draw_posterior(spoiled, opened.model.group)
    assert "<img" not in drawn
    sweep = Sweep(IMAGE_WAYS["tint"], HOSTILE, {"before": [0.5] * 36, "after": [0.5] * 36}, {"before": 1, "after": 1})
    for text in (words.swept(sweep, "tint"), words.plain(HOSTILE)):
        assert r"\<img" in text
        assert "&lt;" not in text.replace("&amp;lt;", "")
        assert "://" not in text and "www." not in text
        assert "**[a]" not in text.replace("\\*", "").replace("\\[", "")
    assert "<img" not in drawings.draw_sweep(sweep)


def test_a_table_of_failures(opened):
    found = Found(Tally(10, 10, 8, 2, 0, 1), Tally(10, 3, 7, 1, 5, 0), 0)
    table = words.tallied(found)
    assert "| 10 examples | as they came | transformed at random |" in table
    assert "**2** | **1**" in table
    assert "untouched checkpoint answers" in table
    assert "as labelled" in words.tallied(replace(found, labelled=10))


@pytest.mark.parametrize(
    "name",
    ["c2", "c4", "c8", "d4", "d8", "so2", "channels", "negative", "hue12", "hue", "white_balance", "d4*negative"],
)
def test_every_posterior_can_be_drawn(opened, name):
    import torch

    group = get_group(name)
    answer, _, _ = answer_image(opened, draw(0), None)
    bins = group.order or 60
    posterior = torch.rand(1, bins).softmax(-1)
    drawn = drawings.draw_posterior(replace(answer, found=replace(answer.found, probabilities=posterior)), group)
    assert drawn.count("<svg") == drawn.count("</svg>") == 1
    assert 'role="img" aria-label="Probability of each' in drawn
    other = drawings.draw_posterior(answer, opened.model.group)
    import re

    names = [set(re.findall(r'id="([^"]+)"', text)) for text in (drawn, other)]
    assert not {one for one in names[0] & names[1] if one.startswith("d")}  # they stand in one page
