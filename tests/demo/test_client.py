"""The demo as programs use it: `gradio_client` and MCP against `hf-canon demo`, and as attackers do."""

import asyncio
import json
import re
import socket
import subprocess
import sys
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
import soundfile
from demo.conftest import RATE, draw, running, sing
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from hf_canon.demo.image import SHOWN

ENDPOINTS = {
    "/open", "/image", "/example_image", "/audio", "/example_audio", "/try_image", "/try_audio",
    "/failing_images", "/failing_clips",
}  # fmt: skip


@pytest.fixture(scope="module")
def client(demo: str, tmp_path_factory: pytest.TempPathFactory) -> Client:
    return Client(demo, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    draw(5, 32).save(tmp_path / "photo.png")  # of the size that the checkpoint reads: nothing is resampled
    return str(tmp_path / "photo.png")


def answer(client: Client, file: str, **asked: object) -> dict:
    return client.predict(image=handle_file(file), api_name="/image", **asked)[-1]


def test_every_action_is_a_named_typed_and_documented_endpoint(client, demo):
    described = client.view_api(return_format="dict", print_info=False)
    assert not described["unnamed_endpoints"]
    assert set(described["named_endpoints"]) == ENDPOINTS
    for name, endpoint in described["named_endpoints"].items():
        for place, parameter in enumerate(endpoint["parameters"]):
            assert parameter["python_type"]["type"]
            assert parameter["parameter_has_default"] or place == 0, (name, parameter["parameter_name"])
        assert not [one["label"] for one in endpoint["returns"] if one["label"].startswith("value_")]
    schema = json.loads(read(f"{demo}/gradio_api/info"))
    for name, endpoint in schema["named_endpoints"].items():
        assert len(endpoint["description"]) > 20, name


def test_a_image_is_answered_in_every_pose_alike(client, photo):
    records = [
        answer(client, photo, turn=turn, mirror=mirror) for turn in (0, 90, 180, -90) for mirror in (False, True)
    ]
    assert len({json.dumps(record["after"]) for record in records}) == 1
    assert len({json.dumps(record["before"]) for record in records}) > 1
    assert len({record["element"] for record in records}) == 8
    before, after, (came, canonical), drawn, verdict, record = client.predict(
        image=handle_file(photo), turn=90, rule="abstain", api_name="/image"
    )
    assert before["label"] == next(iter(record["before"]))
    assert after["confidences"][0]["confidence"] == pytest.approx(next(iter(record["after"].values())))
    assert record["rule"] == "abstain"
    assert record["element"] in verdict
    assert "<svg" in drawn
    for path in (came, canonical):
        with Image.open(path) as shown:
            assert shown.size == (SHOWN, SHOWN)


def test_a_audio_is_answered_forwards_and_backwards_alike(client, tmp_path):
    soundfile.write(tmp_path / "melody.wav", sing(3), RATE)
    ask = {"audio": handle_file(str(tmp_path / "melody.wav")), "api_name": "/audio"}
    forwards, backwards = client.predict(**ask), client.predict(**ask, backwards=True)
    assert forwards[-1]["after"] == backwards[-1]["after"]
    heard, canonical = (soundfile.read(path, dtype="int16")[0] for path in backwards[2:4])
    assert np.abs(heard - 32767 * sing(3)[::-1]).max() < 2  # as loud as it was
    assert len(canonical) == len(heard)
    assert "<svg" in backwards[4]


def test_going_through_moves_and_examples(client, photo, melodies):
    said, drawn = client.predict(image=handle_file(photo), way="rotation", api_name="/try_image")
    assert "Over 72 steps of rotation" in said
    assert "<svg" in drawn
    audio = handle_file(str(melodies / "melody0.wav"))
    said, drawn = client.predict(audio=audio, way="speed", api_name="/try_audio")
    assert "Over 25 steps of speed" in said
    tally, gallery, table = client.predict(api_name="/failing_images")
    assert "12 examples" in tally
    hurt = sum(map(int, re.findall(r"\*\*(\d+)\*\* \|", tally)))
    assert len(gallery) == len(table["data"]) == hurt
    tally, gallery, _ = client.predict(api_name="/failing_clips")
    assert "4 examples" in tally
    assert not gallery
    path, degrees = client.predict(index=1, api_name="/example_image")
    assert Path(path).is_file()
    assert degrees == 90


@pytest.mark.slow
def test_visitors_at_once_get_their_own_answers(client, demo, tmp_path):
    asked = []
    for seed in range(12):
        draw(seed).save(tmp_path / f"{seed}.png")
        asked.append((str(tmp_path / f"{seed}.png"), {"turn": 15 * seed - 90, "mirror": seed % 3 == 0}))

    def timeless(record: dict) -> dict:
        return {key: value for key, value in record.items() if key != "milliseconds"}

    alone = [timeless(answer(client, file, **how)) for file, how in asked]
    assert len({json.dumps(one) for one in alone}) == 12
    visitors = [Client(demo, verbose=False) for _ in range(4)]
    with ThreadPoolExecutor(12) as pool:
        together = list(
            pool.map(lambda i: timeless(answer(visitors[i % 4], asked[i % 12][0], **asked[i % 12][1])), range(36))
        )
    assert together == alone * 3


def test_what_cannot_be_is_said_in_a_sentence(client, tmp_path, photo):
    (tmp_path / "text.png").write_text("no image")
    for given, sentence in (
        (
            {"image": handle_file(photo), "checkpoint": "nobody/nothing", "api_name": "/image"},
            "Open it first",
        ),
        ({"checkpoint": "nobody/nothing", "api_name": "/open"}, "HF_HUB_OFFLINE"),
        ({"checkpoint": "", "api_name": "/open"}, "Give one such as"),
        ({"image": None, "api_name": "/try_image"}, "There is no image yet"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(**given)
    assert client.predict(image=None, api_name="/image")[-1] is None


def read(request: Request | str) -> str:
    with urlopen(request) as answered:
        return answered.read().decode()


def call(demo: str, name: str, data: list) -> str:
    """What a server answers to a call that is written by hand."""
    body, kind = json.dumps({"data": data}).encode(), {"Content-Type": "application/json"}
    event = json.loads(read(Request(f"{demo}/gradio_api/call/{name}", body, kind)))["event_id"]
    return read(f"{demo}/gradio_api/call/{name}/{event}")


def uploaded(demo: str, file: str) -> str:
    """The path of a file that was uploaded as the page does it."""
    content = Path(file).read_bytes()
    head = f'--part\r\nContent-Disposition: form-data; name="files"; filename="{Path(file).name}"\r\n\r\n'.encode()
    kind = {"Content-Type": "multipart/form-data; boundary=part"}
    return json.loads(read(Request(f"{demo}/gradio_api/upload", head + content + b"\r\n--part--\r\n", kind)))[0]


MOVES = {
    "image": [0, False, "RGB", 0],
    "audio": [0, 0, False, 0],
    "try_image": ["rotation"],
    "try_audio": ["speed"],
}
HOW = ["adapter's own", "", ""]
META = {"meta": {"_type": "gradio.FileData"}}


@pytest.mark.parametrize("name", MOVES)
def test_no_path_of_the_server_is_read(demo, name, tmp_path):
    """Whatever a call that is written by hand says about itself; and what was uploaded is."""
    sight = name.endswith("image")
    file = tmp_path / ("private.png" if sight else "private.wav")
    if sight:
        draw(3).save(file)
    else:
        soundfile.write(file, sing(3), RATE)
    there = uploaded(demo, str(file))
    assert "event: complete" in call(demo, name, [{"path": there, **META}, *MOVES[name], *HOW])
    data = f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}"
    for given in (
        {"path": str(file)},
        {"path": str(file), **META},
        {"path": str(file), "meta": {"_type": "other"}},
        {"path": str(file), "url": f"{demo}/gradio_api/file={file}"},
        {"path": f"{Path(there).parent}/../../../{file}"},
        {"path": str(file), "orig_name": "a.svg"},
        {"url": data},
        {"url": data, **META},
        {"path": there, "url": data},
    ):
        said = call(demo, name, [given, *MOVES[name], *HOW])
        assert "event: error" in said, given
    for address in (f"{demo}/gradio_api/file={file}", f"{demo}/gradio_api/file=/etc/passwd"):
        with pytest.raises(HTTPError) as refused:
            read(address)
        assert refused.value.code in (403, 404)
        refused.value.close()


def test_the_server_fetches_nothing_from_its_own_network(demo):
    asked = []
    with socket.socket() as inner:
        inner.bind(("127.0.0.1", 0))
        inner.listen()
        inner.settimeout(2)
        address = f"http://127.0.0.1:{inner.getsockname()[1]}/a.png"
        for given in ({"path": address, **META}, {"path": address, "url": address, **META}, {"path": address}):
            assert "event: error" in call(demo, "image", [given, *MOVES["image"], *HOW])
        with suppress(TimeoutError):
            asked.append(inner.accept())
    assert not asked


def test_what_a_visitor_uploads_is_not_too_large(demo, tmp_path):
    with pytest.raises(HTTPError) as refused:
        boundary = "part"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'.encode()
        body = head + bytes(22_000_000) + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        read(Request(f"{demo}/gradio_api/upload", body, {"Content-Type": kind}))
    with refused.value as said:
        assert said.code == 413
        assert "20" in said.read().decode()


def test_the_actions_are_tools_for_agents(demo, photo):
    async def use() -> tuple[list, list]:
        async with (
            streamable_http_client(f"{demo}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            told = await session.call_tool("open", {"checkpoint": "/etc"})
            return tools, told.content

    tools, told = asyncio.run(use())
    assert {tool.name for tool in tools} == {name.strip("/") for name in ENDPOINTS}
    for tool in tools:
        assert tool.description
    image = next(tool for tool in tools if tool.name == "image")
    assert "counter-clockwise" in image.inputSchema["properties"]["turn"]["description"]
    assert "opens no folders" in told[0].text


@pytest.mark.slow
def test_no_file_of_a_visitor_is_kept(adapter, tmp_path, photo, monkeypatch):
    """While it is in use it stays; afterwards, and when the demo ends, it is gone."""
    code = (
        "import sys, hf_canon.demo.page as page, hf_canon.demo.files as files; "
        "page.FORGET, files.COPIED = (1, 3), 1.0; from hf_canon.cli import main; main(sys.argv[1:])"
    )
    files = tmp_path / "files"
    (files / "temporary").mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(files / "temporary"))
    demo = running([str(adapter)], files)
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda words, **how: real([sys.executable, "-c", code, *words[3:]], **how)
    )
    with demo as url:
        client = Client(url, verbose=False, download_files=str(tmp_path / "downloads"))
        for _ in range(3):
            answer(client, photo)
            time.sleep(1)
        uploads = files / "uploads"
        kept = [path for path in uploads.rglob("*") if path.is_file() and path.name == "photo.png"]
        assert kept
        for _ in range(60):
            time.sleep(0.25)
            left = [path for path in files.rglob("*.*") if path.suffix and not path.name.startswith("example")]
            if not left:
                break
        assert not left, left
        answer(client, photo)
    assert not [path for path in uploads.rglob("photo.png") if path.is_file()]
