"""Addresses of the tabs, and what a browser keeps of each: its settings and what it drew last.

`?tab=panorama` names a tab, so that Back, Forward, a reload and a bookmark find it. Settings lie in
the browser's session storage: they outlive a reload and belong to one browser tab. The keys of the
visitor's photos are all its tabs', so that a link that opens another one finds the photo. What
comes back from a browser is anyone's: it is checked before a control is set.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from genmodels.ui.components.widgets import show_errors
from genmodels.ui.server import messages
from genmodels.ui.services.models import Recipe

MAX_TEXT = 20_000  # Characters of a control's value.
MAX_PHOTOS = 8  # The browser keeps the keys of a visitor's newest photos, this many.

# Run in the browser, before each function below. Where a browser keeps nothing for a page in a
# frame, reading throws: then nothing is kept. A Space's own page shows what its frame tells it.
_LIBRARY = """
const storage = name => name == 'photos' ? localStorage : sessionStorage
const read = name => {
    try { return JSON.parse(storage(name).getItem(`genmodels-${name}`)) } catch { return null }
}
const write = (name, value) => {
    try { storage(name).setItem(`genmodels-${name}`, JSON.stringify(value)) } catch { return }
}
const kept = tab => ({
    settings: read(`${tab}-settings`), drawn: read(`${tab}-drawn`), photos: read('photos') || []
})
const query = new URLSearchParams(location.search)
const current = () => TABS.includes(query.get('tab')) ? query.get('tab') : TABS[0]
const go = tab => {
    const isLink = query.has('recipe')
    if (current() == tab && !isLink) return
    query.delete('recipe')
    query.set('tab', tab)
    history[isLink ? 'replaceState' : 'pushState'](null, '', `?${query}`)
    if (location.hostname.endsWith('.hf.space'))
        parent.postMessage({queryString: `${query}`}, 'https://huggingface.co')
}
"""
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}


@dataclass(frozen=True)
class Start:
    """What a tab opens with; all of it comes from the browser."""

    recipe: Recipe | None = None  # From a link or a file; overrides stored values.
    settings: Mapping[str, Any] = field(default_factory=dict)  # By the controls' names.
    drawn: Any = None  # The recipe, or recipes, of what was shown last.
    photos: Sequence[str] = ()  # Keys of the visitor's photos, the newest first.


class Visit:
    """One tab's share of the address: what it opens with, and what the browser keeps of it."""

    def __init__(self, tab: str, tabs: Sequence[str]) -> None:
        """Inside the open gr.Blocks, outside of all tabs: what is in those is not there yet."""
        self.tab, self._tabs = tab, tabs
        self.start = gr.JSON(visible=False)
        self.is_open = gr.Checkbox(False, visible=False)
        self.job = gr.BrowserState(storage_key=f"genmodels-{tab}-job")  # Token of a long job.

    def opens(
        self,
        fill: Callable[..., Any],  # From the start, and the values of `inputs`.
        outputs: Sequence[Any],
        inputs: Sequence[Any] = (),
        **event: Any,
    ) -> Any:
        """Fill the tab when it is looked at for the first time, and by a recipe.

        What does not fit is told; a tab that was empty is then filled as for a new visitor.
        """

        @show_errors
        def opened(start: Any, is_open: bool, *given: Any) -> tuple[Any, ...]:
            try:
                return True, *fill(_start(start), *given)
            except ValueError as error:
                if is_open:
                    raise
                gr.Warning(error_text(error), duration=None)
                return True, *fill(Start(), *given)

        inputs, outputs = [self.start, self.is_open, *inputs], [self.is_open, *outputs]
        return self.start.change(opened, inputs, outputs, **_PRIVATE, **event)

    def keep(self, controls: Mapping[str, Component], drawn: Component | None = None) -> None:
        """Have the browser keep the controls' values, and the recipes of what is shown."""
        names = json.dumps(list(controls))
        fields = f"Object.fromEntries({names}.map((name, i) => [name, values[i]]))"
        self._write("settings", fields, list(controls.values()))
        if drawn is not None:
            self._write("drawn", "values[0]", [drawn])

    def keep_photo(self, key: gr.Textbox) -> None:
        """Have the browser keep the key of a photo that the visitor brought."""
        others = "(read('photos') || []).filter(one => one != key)"
        js = self._js(f"key && write('photos', [key, ...{others}].slice(0, {MAX_PHOTOS}))", "key")
        key.change(None, key, None, js=js, **_PRIVATE)

    def follow(self, tab: gr.Tab) -> None:
        """Change the address with the tab, and start it when it is first looked at."""
        js = self._js(
            f"if (!window.hasAddress) return; go('{self.tab}');"
            f"if (!start) return kept('{self.tab}')",
            "start",
        )
        tab.select(None, self.start, self.start, js=js, **_PRIVATE)

    def _write(self, part: str, value: str, components: list[Component]) -> None:
        inputs = [self.is_open, *components]  # Before it is filled it has nothing to keep.
        js = self._js(f"if (isOpen) write('{self.tab}-{part}', {value})", "isOpen, ...values")
        changes = [component.change for component in inputs]  # type: ignore[attr-defined]
        gr.on(changes, None, inputs, None, js=js, **_PRIVATE)

    def _js(self, body: str, arguments: str = "") -> str:
        return in_browser(self._tabs, body, arguments)


def in_browser(tabs: Sequence[str], body: str, arguments: str = "") -> str:
    """A function to run in the browser, which knows the tabs and where things are kept."""
    return f"({arguments}) => {{ const TABS = {json.dumps(list(tabs))}\n{_LIBRARY}\n{body} }}"


def follow(page: gr.Blocks, tabs: gr.Tabs, link: gr.Textbox, visits: Sequence[Visit]) -> None:
    """Open the tab that the address names, at first and on Back and Forward.

    `link` gets the recipe of an address that has one instead.
    """
    names = [visit.tab for visit in visits]
    select = "{__type__: 'update', selected: current()}"
    starts = "TABS.map(tab => recipe || tab != current() ? undefined : kept(tab))"
    js = in_browser(
        names,
        "window.hasAddress = true; const recipe = query.get('recipe') || undefined;"
        f"return [recipe ? undefined : {select}, recipe, ...{starts}]",
    )
    page.load(None, None, [tabs, link, *(visit.start for visit in visits)], js=js, **_PRIVATE)
    listener = gr.HTML(
        js_on_load="window.addEventListener('popstate', () => trigger('release'))",
        visible="hidden",
    )
    listener.release(None, None, tabs, js=in_browser(names, f"return {select}"), **_PRIVATE)


def fits(control: Component, value: Any) -> bool:
    """Whether a control can have the value, which is anyone's."""
    if isinstance(control, gr.Radio | gr.Dropdown):
        return any(type(choice) is type(value) and choice == value for _, choice in control.choices)
    if isinstance(control, gr.Slider | gr.Number):
        if type(value) not in (int, float) or not abs(value) < 1e18:  # Nor is NaN.
            return False
        low, high = control.minimum, control.maximum
        is_in = (low is None or low <= value) and (high is None or value <= high)
        return is_in and (control.precision != 0 or value == int(value))
    if isinstance(control, gr.Checkbox):
        return type(value) is bool
    return isinstance(value, str) and len(value) <= MAX_TEXT


def check(controls: Mapping[str, Component], values: Mapping[str, Any]) -> None:
    """ValueError for a value that its control cannot have, or one that is missing."""
    for name, control in controls.items():
        if name not in values or not fits(control, values[name]):
            actual = repr(values.get(name))[:200]
            raise ValueError(f"the setting {name} is not one of this page: got {actual}")


def error_text(error: ValueError) -> str:
    """The error's words as the page shows them; they may quote anyone."""
    return messages.plain(str(error))


def _start(value: Any) -> Start:
    parts = value if isinstance(value, dict) else {}
    recipe, settings, photos = (parts.get(name) for name in ("recipe", "settings", "photos"))
    keys = [key for key in photos if isinstance(key, str)] if isinstance(photos, list) else []
    return Start(
        recipe if isinstance(recipe, dict) else None,
        settings if isinstance(settings, dict) else {},
        parts.get("drawn"),
        keys[:MAX_PHOTOS],
    )
