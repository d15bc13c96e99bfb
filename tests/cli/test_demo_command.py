"""`hf-canon demo` refuses, before a page is served, what could not be shown. That it serves is in tests/demo."""

import argparse
import socket
import subprocess
import sys
from importlib.util import find_spec

import pytest

from hf_canon.cli import demo


def test_without_a_checkpoint_it_wants_what_the_quickstart_left(refuses, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "hf-canon demo ADAPTER; or run `make quickstart`" in refuses("demo")


def test_what_cannot_be_shown_is_said_before_a_page_is_served(refuses, adapter, checkpoint, text_model, tmp_path):
    assert "'/nowhere' as a Hub id or folder: there is no such folder" in refuses("demo", "/nowhere")
    assert "BertForSequenceClassification" in refuses("demo", text_model)
    assert "knows its group" in refuses("demo", adapter, "--group", "c4")
    assert "'e8'" in refuses("demo", checkpoint, "--group", "e8")
    assert "holds no images" in refuses("demo", adapter, "--data", _with_a_text(tmp_path / "texts"))
    assert "There is no folder or file '/nowhere'" in refuses("demo", adapter, "--data", "/nowhere")


def _with_a_text(folder):
    folder.mkdir()
    (folder / "read.me").write_text("no image")
    return folder


@pytest.mark.slow
def test_a_port_that_is_taken(adapter):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        words = [sys.executable, "-m", "hf_canon", "demo", str(adapter), "--port", port]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"No page can be served at 127.0.0.1, port {port}: in use. Name another --port." in done.stderr


def test_what_is_not_installed_is_named_with_its_extra(refuses, adapter, monkeypatch):
    for missing, words, extra in (("gradio", (), "demo"), ("soundfile", (), "demo"), ("mcp", ("--mcp",), "mcp")):
        monkeypatch.setattr(demo, "find_spec", lambda name, gone=missing: None if name == gone else find_spec(name))
        assert f"pip install 'hf_canon[{extra}]'" in refuses("demo", adapter, *words)


@pytest.mark.parametrize("host, public", [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_strangers_are_expected_where_they_can_come(host, public):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert demo.offered_by(parser.parse_args(["me/vit", "--host", host])).public == public
    assert demo.offered_by(parser.parse_args(["me/vit", "--share"])).public
