"""How the page looks: one restrained theme, in light and dark, with the letters of the reader's own system."""

import gradio as gr
from gradio.themes import colors

from ..reports.page.figures import palette

ROUND = 330
"""Pixels, the height of drawings and of images beside them."""
TALL = 470

SYSTEM = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

BLUE = colors.Color(
    "#eaf4fb", "#cfe6f5", "#a3cfec", "#6fb3df", "#3a94cd", "#0072b2", "#00639b", "#005282", "#00436b", "#003453",
    "#00243a", name="blue",
)  # fmt: skip

CSS = f"""
:root {{ {palette(False)} }}
.dark {{ {palette(True)} }}
.gradio-container {{ width: 100%; max-width: min(1180px, 100vw) !important; margin: 0 auto !important; }}
.gradio-container, .gradio-container .main, .gradio-container .wrap {{ width: 100%; min-width: 0 !important; }}
#lead p {{ color: var(--body-text-color-subdued); margin: 0; }}
#lead h1 {{ margin: 0 0 2px; font-size: 1.5rem; }}
.about p {{ color: var(--body-text-color-subdued); font-size: .875rem; margin: 0; overflow-wrap: anywhere; }}
.dark button[role=tab][aria-selected=true] {{ color: var(--c5) !important; }}
#failing .grid-wrap {{ padding-top: 34px; }}
.source img {{ width: 100% !important; height: 100% !important; object-fit: contain !important; }}
.drawing {{ width: 100%; display: flex; justify-content: center; }}
.drawing svg {{ width: 100%; height: auto; max-height: {ROUND}px; }}
.height-{TALL} .drawing svg {{ max-height: {TALL}px; }}
.verdict {{ border-left: 4px solid var(--c5); padding: 6px 14px; min-height: 64px; }}
.verdict.unsure {{ border-left-color: var(--c6); }}
.verdict p {{ margin: 0; line-height: 1.5; }}
.verdict .said {{ font-size: 1.125rem; font-weight: 600; }}
.verdict .fine {{ color: var(--body-text-color-subdued); font-size: .875rem; }}
.answer {{ min-height: 258px; }}
.answer .output-class {{ font-size: 1.375rem; display: block !important; text-align: center; }}
.answer .text, .answer .inner-wrap, .answer .confidence-set {{ min-width: 0; }}
.answer .output-class, .answer .text {{ white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.component-wrapper time, .component-wrapper .controls button {{ color: var(--body-text-color-subdued) !important; }}
.component-wrapper .controls .playback {{ border-color: currentColor !important; }}
.prose th, .prose td {{ overflow-wrap: normal !important; word-break: normal !important; }}
.prose td:not(:first-child), .prose th:not(:first-child) {{ text-align: right; }}
@media (max-width: 640px) {{
  .gradio-container .main {{ padding: 12px !important; }}
  .tab-container button {{ padding-left: 7px !important; padding-right: 7px !important; }}
}}
::placeholder {{ color: var(--body-text-color-subdued) !important; opacity: 1; }}
:focus-visible {{ outline: 3px solid var(--c5) !important; outline-offset: 2px; }}
"""


def theme() -> gr.themes.ThemeClass:
    return gr.themes.Base(
        primary_hue=BLUE,
        secondary_hue=BLUE,
        neutral_hue=colors.gray,
        font=SYSTEM,
        font_mono=MONO,
        radius_size="sm",
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="#14171b",
        block_background_fill="white",
        block_background_fill_dark="#1b1f24",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_label_background_fill_dark="#23282e",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
        slider_color="*primary_500",
        slider_color_dark="*primary_300",
    )
