"""Which layer of a StyleGAN2 decides what: the ranges that have names, and a diagram of them."""

from genmodels.ui.services.models import Card

# As `StyleGAN2Pipeline.layers`, which this page must not import: it brings torch.
NAMED = {"coarse": (0, 2), "middle": (3, 6), "fine": (7, None)}
FREE = "free"
CHOICES = [("Coarse", "coarse"), ("Middle", "middle"), ("Fine", "fine"), ("Free", FREE)]
DECIDES = {  # As seen in mixes of the cars.
    "coarse": "viewpoint, size and shape",
    "middle": "paint, light and windows",
    "fine": "contrast and small detail",
}


def span(card: Card, which: str, first: int, last: int) -> tuple[int, int]:
    """The first and the last layer of a named range, or the two that were chosen freely."""
    if which == FREE:
        return min(first, last), max(first, last)
    if which not in NAMED:
        raise ValueError(f"layers must be one of {', '.join(NAMED)}, {FREE}, got {which!r}")
    start, end = NAMED[which]
    return start, card.num_layers - 1 if end is None else end


def diagram(card: Card, which: str, first: int, last: int) -> str:
    """HTML: the layers from the coarsest to the finest, the chosen ones filled."""
    first, last = span(card, which, first, last)
    shares = card.facts.get("layer_shares", {})
    groups = []
    for name, words in DECIDES.items():
        start, end = span(card, name, 0, 0)
        cells = "".join(
            f'<i class="{"taken" if first <= layer <= last else ""}">{side(card, layer)}</i>'
            for layer in range(start, end + 1)
        )
        share = f"<b>{shares[name]:.0%}</b> of what differs" if name in shares else ""
        groups.append(
            f'<div style="flex-grow: {end - start + 1}"><p class="cells">{cells}</p>'
            f"<p><b>{name.capitalize()}</b><br>{words}</p><p>{share}</p></div>"
        )
    taken = f"Layers {first} to {last} come from the column's picture, the others from the row's."
    return f'<div class="layers"><div>{"".join(groups)}</div><p>{taken}</p></div>'


def side(card: Card, layer: int) -> int:
    """The side in pixels at which a layer works: 4, then 8, 8, 16, 16 ... the last one colours."""
    return min(4 * 2 ** ((layer + 1) // 2), card.facts["resolution"])
