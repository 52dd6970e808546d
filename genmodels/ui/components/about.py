"""About a model: a film of its training, how it works, its limits."""

import gradio as gr

from genmodels import zoo
from genmodels.ui.assets import ASSETS
from genmodels.ui.services.models import Card

# Sections of the model's card that are shown, in this order, where it has them.
SECTIONS = (
    "Figures",
    "Condition accuracy",
    "How well it obeys",  # Its title on cards of 0.4.
    "Ablation",
    "What each wish brings",  # Its title on cards of 0.4.
    "pix2pix against the autoencoder",
)
# What a film shows, where that is not the pictures of some random numbers.
ALT = {"translation": "Held-out photos, their translations during training, and the targets"}


def build(card: Card, use: str) -> tuple[gr.Image, gr.Markdown]:
    """Add both accordions, closed, to an open tab; `film` and `text` fill them for a model."""
    with gr.Accordion("Training progress", open=False):
        shown = gr.Image(
            film(card),
            show_label=False,
            interactive=False,
            type="filepath",
            image_mode=None,
            buttons=[],
            alt_text=ALT.get(use, "The same random numbers, from early in the training on"),
            elem_id=f"{use}-learning",
        )
    with gr.Accordion("How it works, and its limits", open=False):
        return shown, gr.Markdown(text(card, use))


def film(card: Card) -> str:
    """The film of the model's training."""
    return str(zoo.FOLDER / card.name / "progress.webp")


def text(card: Card, use: str) -> str:
    """The words for a use, with the model's own numbers."""
    words = (ASSETS / f"{use}.md").read_text()
    parent = card.facts.get("parent")
    seen = card.facts.get("images_seen_by_parent")
    learnt = f"looked at {seen:,}" if seen else "learnt"
    origin = f"It began as `{parent}`, which had {learnt} before. " if parent else ""
    figures = "\n\n".join(f"### {name}\n\n{body}" for name, body in _sections(card))
    return words.format(figures=figures, origin=origin, **card.facts)


def _sections(card: Card) -> list[tuple[str, str]]:
    return [(name, card.sections[name]) for name in SECTIONS if name in card.sections]
