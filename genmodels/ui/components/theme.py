"""How the page looks: racing green on warm grey, with the fonts that lie in Gradio's wheel."""

import gradio as gr

from genmodels.ui.assets import ASSETS

ICON = ASSETS / "icon.svg"
CSS = ASSETS / "page.css"

GREEN = gr.themes.Color(
    name="racing_green",
    c50="#f0f7f3",
    c100="#dbece2",
    c200="#b9dac8",
    c300="#8cc0a6",
    c400="#5fa685",
    c500="#3a8464",
    c600="#29694f",
    c700="#215541",
    c800="#1c4436",
    c900="#18382d",
    c950="#0c1f19",
)


def make() -> gr.themes.Base:
    """The theme. Nothing of it is fetched: a GoogleFont would be, a LocalFont is not."""
    # In Gradio's default weight, 600, the bundled faces have no Latin letters; 400 and 700 do.
    theme = gr.themes.Default(
        primary_hue=GREEN,
        secondary_hue=GREEN,
        neutral_hue="stone",
        radius_size="lg",
        font=[
            gr.themes.LocalFont("Source Sans Pro", weights=(400, 700)),
            "ui-sans-serif",
            "system-ui",
            "sans-serif",
        ],
        font_mono=[gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "monospace"],
    )
    return theme.set(
        body_background_fill="#f7f5f1",
        body_background_fill_dark="#141311",
        block_background_fill_dark="#1d1b19",
        block_label_text_weight="700",
        block_title_text_weight="700",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#35312e",
        link_text_color="*primary_600",
        link_text_color_hover="*primary_700",
        link_text_color_visited="*primary_600",
        link_text_color_dark="*primary_300",
        link_text_color_hover_dark="*primary_200",
        link_text_color_visited_dark="*primary_300",
        button_large_text_weight="700",
        button_medium_text_weight="700",
        button_small_text_weight="400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
    )
