"""How long a visitor of the demo waits: from the command to the first page, and from the slider to the answer.

    make quickstart && python scripts/figure_demo.py

Debian's Chromium visits `hf-canon demo` on the quickstart's checkpoint and adapter. `first page` is when the first
example has been answered; `answer` is from letting go of the slider to both answers on the screen, of which the server
says how much its own work took. The rival is the same page asking the checkpoint alone in a plain `gr.Interface`: the
least that a page can do. Everything runs on this machine, the browser too. The first page is kept as an image.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ADAPTER = Path("build/quickstart/adapter")
IMAGE = Path("build/figures/demo.png")
ANGLES = [-45, 135, 30, -90, 45, 180, -135, 60]  # the page begins at 90, and remembers that
RIVAL = """
import sys, gradio as gr, torch
from transformers import AutoImageProcessor, AutoModelForImageClassification
processor = AutoImageProcessor.from_pretrained(sys.argv[1])
model = AutoModelForImageClassification.from_pretrained(sys.argv[1])
@torch.inference_mode()
def answer(image, turn):
    said = model(**processor(image.rotate(turn), return_tensors="pt")).logits[0].softmax(-1).tolist()
    return {model.config.id2label[i]: value for i, value in enumerate(said)}
with gr.Blocks(analytics_enabled=False) as page:
    image = gr.Image(sys.argv[2], type="pil", image_mode="L")
    turn = gr.Slider(-180, 180, 0, step=1, label="Turn")
    label = gr.Label(num_top_classes=5)
    page.load(answer, [image, turn], label)
    turn.change(answer, [image, turn], label, show_progress="hidden", trigger_mode="always_last")
_, url, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
print("The demo is at", url, flush=True)
page.block_thread()
"""


@contextmanager
def served(words: list[str]):
    """A server that runs while the block does: its address, and when it was started."""
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            words, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        try:
            while True:
                log.seek(0)
                text = log.read()
                if found := re.search(r"The demo is at (http\S+)", text):
                    yield found[1], started
                    return
                if process.poll() is not None:
                    raise SystemExit(text)
                time.sleep(0.02)
        finally:
            process.terminate()
            process.wait()


def waited(page: Page, changed: str) -> tuple[list[float], list[float]]:
    """Seconds from moving the slider to what changes with it, for each angle; and of the server's own work, as it says
    itself."""
    found, work = [], []
    for degrees in ANGLES:
        number = page.get_by_label("number input for Turn", exact=False).locator("visible=true")
        before = page.locator(changed).inner_html()
        number.fill(str(degrees))
        started = time.perf_counter()
        number.press("Enter")
        page.wait_for_function(
            "([where, before]) => document.querySelector(where)?.innerHTML !== before", arg=[changed, before]
        )
        found.append(time.perf_counter() - started)
        page.wait_for_timeout(300)
        said = page.locator(".verdict:visible .fine")
        if said.count():
            work.append(sum(float(ms) for ms in re.findall(r"([\d.]+) ms", said.inner_text())) / 1000)
    return found, work


def visited(words: list[str], ready: str, changed: str, browser) -> tuple[float, list[float], list[float]]:
    with served(words) as (url, started):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.goto(url)
        page.wait_for_selector(ready)
        first = time.perf_counter() - started
        page.wait_for_timeout(1000)
        if page.locator(".verdict:visible").count():
            IMAGE.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=IMAGE, full_page=True)
        times, work = waited(page, changed)
        context.close()
    return first, times, work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    if not ADAPTER.is_dir():
        raise SystemExit("The quickstart's adapter is not there: run `make quickstart` first.")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("There is no Chromium on this machine: `apt-get install chromium`.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        digit = Path(folder) / "digit.png"
        from offline_data import digits

        digits("test")[0]["image"].save(digit)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        pages = {
            "the demo": (
                [sys.executable, "-m", "hf_canon", "demo"],
                ".verdict .said:has-text('Found')",
                ".verdict",
            ),
            "the checkpoint alone": (
                [sys.executable, "-c", RIVAL, str(ADAPTER.parent / "checkpoint"), str(digit)],
                "[data-testid=label-output-value]",
                ".container:has(> [data-testid=label-output-value])",
            ),
        }
        found = {name: ([], []) for name in pages}
        answering = []
        for _ in range(rounds):
            for name, (words, ready, changed) in pages.items():
                first, times, work = visited(words, ready, changed, browser)
                found[name][0].append(first)
                found[name][1].extend(times)
                answering += work
        browser.close()
    print(f"\n{'':<24}{'first page':>12}{'answer, median':>18}{'quartiles':>20}")
    for name, (firsts, times) in found.items():
        low, middle, high = statistics.quantiles(times, n=4)
        spread = f"{1000 * low:.0f} - {1000 * high:.0f} ms"
        print(f"{name:<24}{statistics.median(firsts):>10.1f} s{1000 * middle:>15.0f} ms{spread:>20}")
    print(f"Of which both answers and all between them took {1000 * statistics.median(answering):.0f} ms (median).")
    ratio = [statistics.median(part[0]) / statistics.median(part[1]) for part in zip(*found.values(), strict=True)]
    print(f"{'ratio':<24}{ratio[0]:>10.2f} x{ratio[1]:>15.2f} x\n\nImage: {IMAGE}")


if __name__ == "__main__":
    main()
