"""Cases over HTTP: every function of the page, every route, links, uploads, recipes in pictures."""

import io
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from genmodels.hub import recipe as recipes
from tests.hostile import files, values
from tests.hostile.client import API, Answer, Function, Visitor
from tests.hostile.server import Server

# fmt: off
SMALL = {  # So that honest work is quick; by the components' labels.
    "Width": 64, "Height": 48, "Pictures": 2, "Time limit (seconds)": 20, "Epochs": 100,
    "Format": "GIF", "Longer side (pixels)": 100, "Size": "Exact pixels",
    "Seeds of the rows": "1, 2", "Seeds of the columns": "3, 4", "Seconds per transition": 1,
    "From": 2010, "To": 2012,
}
ROUTES = (
    "/{}", "/?__theme={}", "/?deep_link={}", "/config?deep_link={}", "/static/{}", "/assets/{}",
    "/svelte/{}", "/theme.css?x={}", "/pwa_icon/{}", "/login_check?x={}", "/monitoring/{}",
    "/healthz?x={}", "/gradio_api/{}", "/gradio_api/file={}", "/gradio_api/file/{}",
    "/gradio_api/proxy={}", "/gradio_api/custom_component/{}/client/component/x.js",
    "/gradio_api/stream/{}/x/1/playlist.m3u8", "/gradio_api/call/{}/x",
    "/gradio_api/call/cars_sample/{}", "/gradio_api/queue/data?session_hash={}",
    "/gradio_api/upload_progress?upload_id={}", "/gradio_api/deep_link?session_hash={}",
    "/gradio_api/info?all_endpoints={}", "/gradio_api/runs?x={}",
    "/gradio_api/run-history/records?x={}",
)
POSTS = (
    "/login", "/gradio_api/cancel", "/gradio_api/reset", "/gradio_api/component_server",
    "/gradio_api/stream/x", "/gradio_api/vibe-edit", "/gradio_api/process_recording",
    "/gradio_api/call/v2/cars_sample", "/gradio_api/run-history/connect",
)
FIELDS = ("event_id", "session_hash", "component_id", "fn_name", "data", "model", "prompt", "code")
HEADERS = {
    "host": "hstl.example", "x-forwarded-host": "hstl.example\"><script>hstl()</script>",
    "x-forwarded-proto": "javascript", "x-original-uri": "//hstl.example/", "x-long": "y" * 60_000,
    "range": "bytes=-1-,5-2", "origin": "https://hstl.example", "referer": "\"><script>hstl()",
    "cookie": "access-token=x; " * 500, "user-agent": "{jndi:ldap://hstl}",
    "accept-language": "../../x", "x-direct-url": "https://hstl.example", "content-length": "-1",
    "transfer-encoding": "x",
}
# fmt: on


@dataclass(frozen=True)
class Case:
    """One thing to send, and what must come of it."""

    name: str  # "cars_sample/1 NaN": where, and what.
    group: str  # Of its like: a sample takes some of each group.
    verb: str  # Of the visitor, ...
    arguments: tuple[Any, ...]  # ... and what it is given.
    options: dict[str, Any] = field(default_factory=dict)
    must_refuse: bool = False
    text: str = ""  # What is packed in the arguments: it may come back, too.

    def send(self, visitor: Visitor) -> Answer:
        """What comes back."""
        return getattr(visitor, self.verb)(*self.arguments, **self.options)

    @property
    def sent(self) -> str:
        """For the report; and it may come back."""
        sent = json.dumps([self.arguments, self.options], default=_short)
        return f"{self.verb}{sent} {self.text}"


def _short(value: Any) -> str:
    return value.name if isinstance(value, Function) else f"{len(value)} bytes"


@dataclass(frozen=True)
class Place:
    """A visitor who has used the page, so that there are honest values to spoil."""

    server: Server
    visitor: Visitor
    photo: dict[str, Any]  # As components' values name an upload.
    recipe: dict[str, Any]  # Of a drawn car.
    seed: int

    @property
    def paths(self) -> dict[str, Any]:
        """Names of files."""
        return values.paths(self.server.canary, self.server.source)

    @property
    def bad(self) -> dict[str, Any]:
        """All bad values."""
        return values.NUMBERS | values.TEXTS | values.OTHERS | self.paths

    def rng(self, name: str) -> random.Random:
        """The same for a name, whatever else is drawn."""
        return random.Random(f"{self.seed} {name}")


def settle(server: Server, visitor: Visitor, seed: int = 0) -> Place:
    """Use the page a little, as an honest visitor does."""
    for id, one in visitor.components.items():
        visitor.values[id] = SMALL.get(one["props"].get("label"), visitor.values[id])
    for name in ("cars_sample", "style_mix"):
        answer = visitor.play(visitor.named(name))
        if not answer.ok:
            raise RuntimeError(f"{name} did not draw: {answer.status} {answer.message}")
    outputs = visitor.named("cars_sample").outputs
    gallery = next(id for id in outputs if visitor.kind(id) == "gallery")
    address = f"{API}/file={visitor.values[gallery][0]['image']['path']}"
    content = visitor.http.get(address).content
    drawn = visitor.uploaded("drawn.png", content)
    photo = visitor.uploaded("photo.png", files.photo())
    for id, one in visitor.components.items():
        if one["type"] in ("file", "image"):
            is_recipe = one["props"].get("file_types") == [".png"]
            is_many = one["props"].get("file_count") == "multiple"
            visitor.values[id] = [photo, photo] if is_many else drawn if is_recipe else photo
    for function in visitor.functions * 2:  # What one shows is another's to send.
        if re.match(r"of_file|opened|_clicked|vary|add_stop|brought|explain|moved", function.name):
            visitor.play(function)
    return Place(server, visitor, photo, recipes.read(Image.open(io.BytesIO(content))), seed)


def every(place: Place) -> Iterator[Case]:
    """All of them; the same for a seed."""
    for part in (_functions, _bodies, _recipes, _uploads, _forged_files, _routes):
        yield from part(place)


def _functions(place: Place) -> Iterator[Case]:
    """Every input of every function, bad value by bad value; of functions that are alike, a few."""
    known = set()
    for function in place.visitor.functions:
        stem = re.sub(r"_\d+$", "", function.name)
        kinds = (stem, *(place.visitor.kind(id) for id in function.inputs))
        number = 4 if kinds in known else 20 if stem in ("training", "all_of_them") else 80
        known.add(kinds)
        found = list(_of_function(place, function, stem))
        if number == 80:
            yield from _paths(place, function, stem)
        yield from place.rng(function.name).sample(found, min(number, len(found)))


def _of_function(place: Place, function: Function, stem: str) -> Iterator[Case]:
    name, honest, rng = function.name, place.visitor.data(function), place.rng(function.name)
    for number, (id, value) in enumerate(zip(function.inputs, honest, strict=True)):
        kind = place.visitor.kind(id)
        ways = list(place.bad.items())
        if kind in ("json", "gallery") and value:
            ways += values.spoiled(value, place.bad, rng, 90)
        if kind == "html" and str(value)[:1] in ("[", "{"):
            ways += values.spoiled_text(value, place.bad, rng, 30)
        for what, new in ways:
            data = [*honest[:number], new, *honest[number + 1 :]]
            yield Case(f"{name}/{number} {what}", f"{stem} {kind}", "join", (function, data))
    for what, data in {"no": [], "few": honest[:-1], "more": [*honest, values.MARKUP]}.items():
        yield Case(f"{name} {what} arguments", f"{stem} arguments", "join", (function, data))
    for what, event in values.EVENTS.items() if function.event == "select" else ():
        body = {"body": {"event_data": event}}
        yield Case(f"{name} event {what}", f"{stem} event", "join", (function, honest), body)
    for door in ("call", "run"):
        for what, new in rng.sample(sorted(place.bad.items()), 3):
            data = [new for _ in honest]
            yield Case(f"{door} {name} {what}", door, door, (name, data))


def _paths(place: Place, function: Function, stem: str) -> Iterator[Case]:
    """Paths in place of models' names, first and last: the way to write anywhere."""
    for number, value in enumerate(place.visitor.data(function)):
        for what, new in values.with_paths(value, place.paths):
            data = place.visitor.data(function)
            data[number] = new
            case = f"{function.name}/{number} {what}"
            yield Case(case, f"{stem} path", "join", (function, data))


def _bodies(place: Place) -> Iterator[Case]:
    """Around the data: fields of the request itself, and no JSON at all."""
    for function in (place.visitor.named("cars_sample"), place.visitor.named("explain")):
        for name, body in values.BODIES.items():
            sent = (function, place.visitor.data(function))
            yield Case(f"{function.name} body {name}", "body", "join", sent, {"body": body})
    for path in ("queue/join", "call/cars_sample", "run/explain", "cancel", "component_server"):
        for name, text in values.NO_JSON.items():
            sent = ("POST", f"{API}/{path}", text)
            is_fine = (path, name) == ("call/cars_sample", "no index")  # Its name says which.
            case = f"POST {path} {name}"
            yield Case(case, "no JSON", "request", sent, must_refuse=not is_fine)


def _recipes(place: Place) -> Iterator[Case]:
    """In links, and in PNGs that are dropped to be drawn again."""
    of_file, of_link = (place.visitor.named(name) for name in ("of_file", "of_link"))
    rng, others = place.rng("recipes"), place.visitor.data(of_link)[1:]
    spoiled = dict(values.spoiled(place.recipe, place.bad, rng, 160))
    texts = {name: json.dumps(value) for name, value in spoiled.items()}
    for name, text in (texts | {f"raw {k}": v for k, v in values.TEXTS.items()}).items():
        sent = (of_file, 0, "drawn.png", files.png_with(recipes.KEY, text))
        yield Case(f"PNG {name}", "PNG", "bring", sent, text=text)
    links = {name: recipes.to_query(value) for name, value in spoiled.items()}
    links |= {f"raw {name}": text for name, text in values.TEXTS.items()}
    whole = recipes.to_query(place.recipe)
    links |= {"cut": whole[:-6], "doubled": 2 * whole}
    links |= {"a bomb": recipes.to_query({"x": "x" * 9_000_000})}
    for name, link in links.items():
        text = texts.get(name, "")
        yield Case(f"link {name}", "link", "join", (of_link, [link, *others]), text=text)
        if rng.random() < 0.2:
            address = f"/?{httpx.QueryParams({'recipe': link})}"
            yield Case(f"GET / {name}", "page", "request", ("GET", address), text=text)


def _takers(place: Place) -> list[tuple[Function, int]]:
    """What takes a file, and as which input."""
    return [
        (function, number)
        for function in place.visitor.functions
        for number, id in enumerate(function.inputs)
        if place.visitor.kind(id) in ("file", "image")
    ]


def _uploads(place: Place) -> Iterator[Case]:
    """Files of all kinds to whatever takes one; and bad names and bodies of uploads."""
    takers, rng, forbidden = _takers(place), place.rng("uploads"), files.forbidden()
    for name, (suffix, content) in (forbidden | files.hostile()).items():
        is_forbidden = name in forbidden
        for function, number in rng.sample(takers, 8 if is_forbidden else 2):
            sent = (function, number, f"photo.{suffix}", content)
            case = f"{function.name}/{number} file {name}"
            yield Case(case, "file", "bring", sent, must_refuse=is_forbidden)
    for name, text in (values.TEXTS | place.paths).items():
        yield Case(f"upload named {name}", "upload", "upload", (text, files.photo()))
    for name, (headers, content) in files.FORMS.items():
        sent = ("POST", f"{API}/upload", content, headers)
        yield Case(f"upload form {name}", "upload", "request", sent)


def _forged_files(place: Place) -> Iterator[Case]:
    """File values that were never uploaded, or say more than they should."""
    rng, photo, takers = place.rng("forged"), place.photo, _takers(place)
    forged = {f"path {name}": {**photo, "path": text} for name, text in place.paths.items()}
    for key, bad in {
        "url": values.TEXTS | place.paths, "orig_name": place.bad, "size": values.NUMBERS,
        "meta": values.OTHERS, "mime_type": values.TEXTS, "is_stream": {"true": True},
    }.items():  # fmt: skip
        forged |= {f"{key} {name}": {**photo, key: value} for name, value in bad.items()}
    inside = photo["path"]
    forged["up"] = {**photo, "path": f"{inside}/../../../canary/kept.txt"}
    forged["NUL"] = {**photo, "path": f"{inside}\x00.png"}
    forged["no meta"] = {"path": str(place.server.canary / "kept.txt")}
    for name, file in forged.items():
        function, number = rng.choice(takers)
        data = place.visitor.data(function)
        data[number] = [file] if isinstance(data[number], list) else file
        yield Case(f"{function.name} forged {name}", "forged", "join", (function, data))


def _routes(place: Place) -> Iterator[Case]:
    """Every route, with names of files and other surprises in it."""
    odd = values.TEXTS | place.paths
    odd |= {"encoded up": "%2e%2e/%2e%2e/canary/kept.txt", "doubly": "%252e%252e%252fapp.py"}
    rng = place.rng("routes")
    for path in ROUTES:
        for name, text in rng.sample(sorted(odd.items()), 8):
            sent = ("GET", path.replace("{}", files.quoted(text)))
            yield Case(f"GET {path} {name}", "route", "request", sent)
    for path in ("/", "/config", f"{API}/info", f"{API}/queue/join", f"{API}/upload"):
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "HEAD"):
            yield Case(f"{method} {path}", "method", "request", (method, path))
        for name, text in HEADERS.items():
            sent = ("GET", path, b"", {name: text})
            yield Case(f"GET {path} {name}", "header", "request", sent)
    for path in POSTS:
        for name, value in rng.sample(sorted(place.bad.items()), 12):
            body = json.dumps(dict.fromkeys(FIELDS, value) | {"fn_index": 0})
            yield Case(f"POST {path} {name}", "post", "request", ("POST", path, body))
