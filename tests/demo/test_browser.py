"""The demo as visitors see it: Debian's Chromium on a real checkpoint, with the mouse, the keyboard and a phone.

Screenshots of what was seen land in `build/screens`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile
from assets import offline_data
from demo.conftest import RATE, running, sing
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from hf_canon.demo import Offered
from hf_canon.demo.answering import best
from hf_canon.demo.checkpoints import Checkpoints, Opened
from hf_canon.demo.image import answer_image, open_image, transformed

SCREENS = Path(__file__).parents[2] / "build/screens"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 30_000
TABS = ("Image", "Audio", "Robustness", "Failures")
# Chromium's own errands would be requests too.
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    # Only root can install a browser, and `make test` has to pass for others; where CI is set it fails without one.
    if path is None and not os.environ.get("CI"):
        pytest.skip("There is no Chromium on this machine: `apt-get install chromium`, and run this again.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def real_demo(audio_model: Path, melodies: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An ImageNet classifier, found out by its own confidence, on photographs; and a tiny listener."""
    words = [offline_data.checkpoint("efficientnet"), audio_model, "--data", offline_data.photos()[0].parent]
    with running([*map(str, words), "--clips", str(melodies)], tmp_path_factory.mktemp("files")) as url:
        yield url


@pytest.fixture(scope="module")
def efficientnet() -> Opened:
    path = str(offline_data.checkpoint("efficientnet"))
    return Checkpoints(Offered((path,))).open(path)


class Visit:
    """A page, and what it asked for and complained about."""

    def __init__(self, browser: Browser, url: str, size: dict[str, int], theme: str = "light"):
        self.context = browser.new_context(viewport=size, color_scheme=theme, has_touch=size is PHONE)  # type: ignore
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.url = url
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._follow)
        self.page.goto(url)
        self.answered()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # gradio's own client warns at every upload
            self.complaints.append(message.text)

    def _follow(self, request: object) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):  # type: ignore[attr-defined]
            self.elsewhere.append(request.url)  # type: ignore[attr-defined]

    @property
    def verdict(self) -> Locator:
        return self.page.locator(".verdict:visible")

    def answered(self) -> None:
        expect(self.verdict.locator(".said")).to_contain_text("Found", timeout=PATIENCE)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()
        expect(self.page.get_by_role("tabpanel").locator("visible=true").first).to_be_visible()

    def answer(self, label: str) -> Locator:
        """The class that an answer names."""
        return self.page.locator(".answer:visible", has_text=label).get_by_test_id("label-output-value")

    def turn(self, degrees: int) -> None:
        number = self.page.get_by_label("number input for Turn", exact=False).locator("visible=true")
        number.fill(str(degrees))
        number.press("Enter")

    def shot(self, name: str) -> None:
        SCREENS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENS / f"{name}.png", full_page=True)

    def close(self) -> None:
        self.context.close()
        assert self.elsewhere == []
        assert self.complaints == []


@pytest.fixture
def visit(chromium: Browser, real_demo: str) -> Iterator[Visit]:
    visit = Visit(chromium, real_demo, DESKTOP)
    yield visit
    visit.close()


def test_upload_a_image_turn_it_and_read_both_answers(visit, efficientnet):
    (path,) = (path for path in offline_data.photos() if path.stem == "chelsea")
    visit.page.locator(".source:visible input[type=file]").set_input_files(path)
    image = open_image(path, "RGB")
    for degrees in (180, -90, 0):
        visit.turn(degrees)
        answer, _, _ = answer_image(efficientnet, transformed(image, turn=degrees), None)
        expect(visit.verdict.locator(".said")).to_contain_text(f"Found: {answer.element}.", timeout=PATIENCE)
        expect(visit.answer("The checkpoint alone")).to_have_text(best(answer.before), timeout=PATIENCE)
        expect(visit.answer("Canonicalized")).to_have_text(best(answer.after), timeout=PATIENCE)
    label = "As it came | canonical"
    images = visit.page.locator(f"[aria-label='{label}'] img, .block:has-text('{label}') img").locator("visible=true")
    assert images.count() >= 2
    expect(visit.page.get_by_role("img", name="Probability of each turn")).to_be_visible()
    visit.shot("image")


@pytest.mark.slow
def test_a_file_that_is_too_large_is_refused_in_a_sentence(visit, tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(22_000_000))
    visit.page.locator(".source:visible input[type=file]").set_input_files(tmp_path / "large.png")
    expect(visit.page.get_by_test_id("toast-body")).to_contain_text("maximum allowed size of 20", timeout=PATIENCE)
    visit.complaints.clear()  # Chromium reports the server's refusal too


@pytest.mark.slow
def test_mirror_swap_and_tint(visit, efficientnet):
    page = visit.page
    page.get_by_label("Mirror").locator("visible=true").check()
    page.get_by_label("Channel order").locator("visible=true").click()
    page.get_by_role("option", name="BGR").click()
    tint = page.get_by_label("number input for Tint", exact=False).locator("visible=true")
    tint.fill("60")
    tint.press("Enter")
    visit.turn(45)
    (first,) = (path for path in offline_data.photos() if path.stem == "astronaut")
    spoiled = transformed(open_image(first, "RGB"), turn=45, mirror=True, channels="BGR", tint=60)
    answer, _, _ = answer_image(efficientnet, spoiled, None)
    expect(visit.answer("The checkpoint alone")).to_have_text(best(answer.before), timeout=PATIENCE)
    expect(visit.answer("Canonicalized")).to_have_text(best(answer.after), timeout=PATIENCE)
    expect(visit.verdict.locator(".said")).to_contain_text(f"Found: {answer.element}.")
    visit.shot("image-mirrored-tinted")


@pytest.mark.slow
def test_the_slider_is_transformed_by_the_keyboard_and_what_has_focus_is_seen(visit):
    page = visit.page
    slider = page.get_by_label("range slider for Turn", exact=False).locator("visible=true")
    before = slider.input_value()
    for _ in range(60):
        page.keyboard.press("Tab")
        if slider.evaluate("it => it === document.activeElement"):
            break
    assert slider.evaluate("it => it === document.activeElement")
    assert slider.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    with page.expect_response(lambda response: "queue/join" in response.url):
        page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == float(before) + 1
    visit.answered()


@pytest.mark.slow
def test_try_every_rotation_and_look_for_failures(visit):
    page = visit.page
    visit.tab("Robustness")
    page.get_by_role("radio", name="tint").check()
    expect(page.get_by_role("button", name="Try every tint")).to_be_visible()
    page.get_by_role("radio", name="rotation").check()
    page.get_by_role("button", name="Try every rotation").click()
    expect(page.get_by_text("Over 72 steps of rotation")).to_be_visible(timeout=4 * PATIENCE)
    expect(page.get_by_role("img", name="Probability of")).to_have_count(1)
    visit.shot("robustness")
    visit.tab("Failures")
    page.get_by_role("button", name="Look among the images").click()
    expect(page.get_by_text("hurt:")).to_be_visible(timeout=4 * PATIENCE)
    visit.shot("failures")


@pytest.mark.slow
def test_a_audio_is_uploaded_reversed_and_heard(visit, tmp_path):
    page = visit.page
    visit.tab("Audio")
    visit.answered()
    soundfile.write(tmp_path / "melody.wav", sing(9), RATE)
    page.get_by_role("button", name="Clear", exact=False).locator("visible=true").first.click()
    expect(visit.verdict.locator(".said")).to_contain_text("Record an audio clip", timeout=PATIENCE)
    page.locator("input[type=file][accept*=audio]").locator("nth=0").set_input_files(tmp_path / "melody.wav")
    visit.answered()
    page.get_by_role("checkbox", name="Backwards").check()
    expect(page.get_by_role("img", name="Spectrograms. As the checkpoint receives it")).to_be_visible(timeout=PATIENCE)
    visit.answered()
    page.wait_for_timeout(1000)
    visit.shot("audio")


@pytest.mark.slow
def test_a_audio_is_recorded(visit):
    page = visit.page
    visit.context.grant_permissions(["microphone"])  # Chromium's own, which beeps
    visit.tab("Audio")
    visit.answered()
    page.get_by_role("button", name="Clear", exact=True).locator("visible=true").first.click()
    page.get_by_role("button", name="Record audio").locator("visible=true").first.click()
    page.get_by_role("button", name="Record", exact=True).locator("visible=true").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop", exact=True).locator("visible=true").click()
    visit.answered()
    expect(page.get_by_test_id("waveform-Canonical")).to_be_visible(timeout=PATIENCE)


@pytest.mark.slow
def test_the_page_for_programs_describes_every_action(chromium, real_demo):
    visit = Visit(chromium, real_demo, DESKTOP)
    visit.page.get_by_role("button", name="Use via API").click()
    for name in ("image", "audio", "try_image", "failing_clips", "open"):
        expect(visit.page.get_by_text(f"/{name}", exact=True).first).to_be_visible(timeout=PATIENCE)
    visit.shot("api")
    # gradio asks whether the actions are tools too, which nobody has asked for here.
    assert all("404" in complaint for complaint in visit.complaints), visit.complaints
    visit.complaints.clear()
    visit.close()


@pytest.mark.slow
def test_a_bad_checkpoint_gives_a_sentence_and_a_good_one_opens_in_its_tab(visit, adapter, audio_model):
    page = visit.page
    page.get_by_role("button", name="Another checkpoint").click()
    box = page.get_by_role("textbox", name="Checkpoint")
    box.fill("nobody/no-such-model")
    page.get_by_role("button", name="Open", exact=True).click()
    alert = page.get_by_test_id("toast-body")
    expect(alert).to_contain_text("No checkpoint could be read from 'nobody/no-such-model'", timeout=PATIENCE)
    visit.page.screenshot(path=SCREENS / "bad-checkpoint.png")
    page.get_by_test_id("toast-close").click()
    box.fill(str(audio_model))
    box.press("Enter")
    expect(page.get_by_role("tab", name="Audio")).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    box.fill(str(adapter))
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("tab", name="Image")).to_have_attribute("aria-selected", "true", timeout=PATIENCE)
    expect(page.locator(".about:visible").filter(has_text="d4").first).to_contain_text(
        "calibrated on", timeout=PATIENCE
    )
    expect(visit.answer("Canonicalized")).to_have_text(re.compile("bird|cat|dog"), timeout=PATIENCE)
    # What was opened for one visitor is not open for the next.
    page.get_by_role("button", name="assets/efficientnet").click()  # and back
    expect(box).to_have_value("assets/efficientnet")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator(".about:visible").first).to_contain_text("efficientnet", timeout=PATIENCE)
    other = Visit(page.context.browser, visit.url, DESKTOP)
    expect(other.page.locator(".about:visible").first).to_contain_text("efficientnet")
    other.close()


CONTRAST = """() => {
  const parts = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => {
    const line = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    return 0.2126 * line(r) + 0.7152 * line(g) + 0.0722 * line(b);
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const [r, g, b, a] = parts(getComputedStyle(node).backgroundColor);
      if (r !== undefined && (a === undefined || a > 0.95)) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement, style = getComputedStyle(node);
    if (!text.data.trim() || !node.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    if (["SCRIPT", "STYLE"].includes(node.tagName) || node.closest("svg, .sr-only, .hide, .icon, :disabled")) continue;
    const box = node.getBoundingClientRect();
    if (box.width < 2 || box.height < 2) continue;
    const [a, b] = [light(parts(style.color)), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${text.data.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return poor;
}"""

UNNAMED = """() => [...document.querySelectorAll("input, button, textarea, select, [role=slider], [role=tab]")]
  .filter((it) => it.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && it.type !== "file")
  .filter((it) => !it.closest(".sr-only, .visually-hidden, [aria-hidden=true]"))
  .filter((it) => !(it.ariaLabel || it.title || it.innerText?.trim() || it.labels?.length || it.alt || it.placeholder
    || it.getAttribute("aria-labelledby") || it.querySelector("[aria-label], img[alt]")))
  .map((it) => it.outerHTML.slice(0, 160))"""


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_tab_can_be_read_in_both_themes_on_both_screens(chromium, real_demo, theme, size):
    visit = Visit(chromium, real_demo, size, theme)
    page = visit.page
    assert page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    for tab in TABS:
        visit.tab(tab)
        if tab in ("Image", "Audio"):
            visit.answered()
        page.wait_for_timeout(800)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], tab
        assert page.evaluate(CONTRAST) == [], (tab, theme)
        assert page.evaluate(UNNAMED) == [], tab
        visit.shot(f"{tab.lower()}-{theme}-{'phone' if size is PHONE else 'desktop'}")
    visit.close()


@pytest.mark.slow
def test_nothing_jumps_while_a_slider_is_transformed(visit):
    page = visit.page
    page.wait_for_timeout(1500)
    page.evaluate(
        """() => { window.jumps = [];
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => window.jumps.push(entry.value)))
          .observe({ type: "layout-shift" }); }"""
    )
    for degrees in (10, 90, 180):
        visit.turn(degrees)
        page.wait_for_timeout(1500)
    assert sum(page.evaluate("window.jumps")) < 0.01
