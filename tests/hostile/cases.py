"""Cases over HTTP: every function of the page, every route, links, uploads, recipes in pictures."""

import json
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from genmodels import recipe as recipes
from tests.hostile import files, values
from tests.hostile.client import API, Answer, Function, Visitor
from tests.hostile.server import Server

# What honest visitors would wait for; by the components' labels.
SMALL = {
    "Width": 64, "Height": 48, "Pictures": 2, "Seconds, at most": 20, "Epochs": 100,
    "Longer side, in pixels": 100, "Size": "Exact pixels", "Seeds of the rows": "1, 2",
    "Seeds of the columns": "3, 4", "Seconds from one to the next": 1, "From": 2010, "To": 2012,
    "Format": "GIF",
}  # fmt: skip
SLOW = ("training", "all_of_them", "translate_all")  # Seconds, where a bad value is taken.


@dataclass(frozen=True)
class Case:
    """One thing to send, and what must come of it."""

    name: str  # "cars_sample/1 = NaN": where, and what.
    group: str  # Of its like; a sample takes some of each group.
    send: Callable[[Visitor], Answer]
    sent: str = ""  # What is sent, for the report; it may come back.
    must_refuse: bool = False


@dataclass(frozen=True)
class Place:
    """A visitor who has used the page, so that there are honest values to spoil."""

    server: Server
    visitor: Visitor
    seed: int

    @property
    def bad(self) -> dict[str, Any]:
        """All bad values."""
        return values.any_of(self.server.canary, self.server.source)

    def rng(self, name: str) -> random.Random:
        """The same for a name, whatever else is drawn."""
        return random.Random(f"{self.seed} {name}")


def settle(server: Server, visitor: Visitor, seed: int = 0) -> Place:
    """Use the page a little, as an honest visitor does."""
    for id, one in visitor.components.items():
        label = one["props"].get("label")
        if label in SMALL:
            visitor.values[id] = SMALL[label]
    for name in ("cars_open", "style_open"):
        answer = visitor.play(visitor.named(name))
        if not answer.ok:
            raise RuntimeError(f"{name} did not draw: {answer}")
    photo = visitor.uploaded("photo.png", files.photo())
    drawn = visitor.uploaded("drawn.png", _drawn(visitor))
    for id, one in visitor.components.items():
        if one["type"] not in ("file", "image") or one["props"].get("file_count") == "directory":
            continue
        is_recipe = one["props"].get("file_types") == [".png"]
        is_many = one["props"].get("file_count") == "multiple"
        visitor.values[id] = [photo, photo] if is_many else drawn if is_recipe else photo
    for function in visitor.functions * 2:  # What one shows is another's to send.
        if re.match(r"opened|_?clicked|vary|add_stop|laid|explain|chosen", function.name):
            visitor.play(function)
    return Place(server, visitor, seed)


def _drawn(visitor: Visitor) -> bytes:
    """The file of a picture that the page shows."""
    (gallery,) = [
        id for id in visitor.named("cars_sample").outputs if visitor.kind(id) == "gallery"
    ]
    first = visitor.values[gallery][0]["image"]["path"]
    return visitor.http.get(f"{API}/file={first}").content


def every(place: Place) -> Iterator[Case]:
    """All of them."""
    yield from _functions(place)
    yield from _bodies(place)
    yield from _links(place)
    yield from _recipes(place)
    yield from _uploads(place)
    yield from _forged_files(place)
    yield from _routes(place)


def _functions(place: Place) -> Iterator[Case]:
    """Every input of every function, bad value by bad value; of functions that are alike, a few."""
    known = set()
    for function in place.visitor.functions:
        stem = re.sub(r"_\d+$", "", function.name)
        kinds = tuple(place.visitor.kind(id) for id in function.inputs)
        is_twin, rng = (stem, kinds) in known, place.rng(function.name)
        known.add((stem, kinds))
        found = list(_of_function(place, function, rng))
        few = 4 if is_twin else 24 if stem in SLOW else 110
        yield from rng.sample(found, min(few, len(found)))


def _of_function(place: Place, function: Function, rng: random.Random) -> Iterator[Case]:
    visitor = place.visitor
    honest = visitor.data(function)
    for number, id in enumerate(function.inputs):
        kind = visitor.kind(id)
        if kind == "state":
            continue
        ways = list(place.bad.items())
        if kind in ("json", "gallery") and honest[number]:
            ways += values.spoiled(honest[number], place.bad, rng, 90)
        if kind == "html" and str(honest[number])[:1] in ("[", "{"):
            ways += values.spoiled_text(honest[number], place.bad, rng, 30)
        for name, value in ways:
            data = [*honest[:number], value, *honest[number + 1 :]]
            yield _joined(function, data, f"{function.name}/{number} {name}", kind)
    for name, data in {
        "none": [],
        "short": honest[:-1],
        "long": [*honest, 1, values.MARKUP],
    }.items():
        yield _joined(function, data, f"{function.name} arguments {name}", "arguments")
    if function.event == "select":
        for name, event in values.EVENTS.items():
            case = f"{function.name} event {name}"
            yield _joined(function, honest, case, "event", {"event_data": event})
    for door in ("call", "run"):
        yield Case(
            f"{door}/{function.name} markup",
            f"{door}",
            lambda v, door=door: getattr(v, door)(function.name, [values.MARKUP for _ in honest]),
            f"{door}/{function.name} {values.MARKUP}",
        )


def _joined(
    function: Function, data: Any, name: str, kind: str, body: dict[str, Any] | None = None
) -> Case:
    sent = json.dumps({"fn": function.name, "data": data} | (body or {}))
    return Case(
        name,
        f"{re.sub(r'_[0-9]+$', '', function.name)} {kind}",
        lambda visitor: visitor.join(function, data, body=body),
        sent,
    )


def _bodies(place: Place) -> Iterator[Case]:
    """Around the data: fields of the request itself."""
    for function in (place.visitor.named("cars_sample"), place.visitor.named("explain")):
        honest = place.visitor.data(function)
        for name, body in values.BODIES.items():
            yield _joined(function, honest, f"{function.name} body {name}", "body", body)
    for name, text in {
        "no JSON": "x", "nothing": "", "cut": '{"data": [', "a list": "[]", "deep": "[" * 100_000,
        "long number": '{"data": [' + "9" * 6000 + '], "fn_index": 1, "session_hash": "x"}',
        "doubled": '{"data": [], "data": [1], "fn_index": 0, "session_hash": "x"}',
        "not UTF-8": '{"data": ["\xff\xfe"]}',
    }.items():  # fmt: skip
        for path in ("queue/join", "call/cars_sample", "run/explain", "cancel", "component_server"):
            yield _posted(f"{API}/{path}", name, text)


def _posted(path: str, name: str, text: str) -> Case:
    return Case(
        f"POST {path} {name}",
        "body",
        lambda v: v.request("POST", path, content=text.encode("latin-1"), is_json=True),
        text,
        must_refuse=True,
    )


def _links(place: Place) -> Iterator[Case]:
    """?recipe= of the page's address, as its `load` events and the page itself see it."""
    rng, honest = place.rng("links"), _recipe(place)
    spoiled = list(values.spoiled(honest, place.bad, rng, 120))
    links = {name: recipes.to_query(value) for name, value in spoiled}
    texts = {name: text for name, text in values.TEXTS.items() if name != "a lone surrogate"}
    links |= {f"raw {name}": text for name, text in texts.items()}
    whole = recipes.to_query(honest)
    links |= {
        "cut": whole[:-6],
        "doubled": whole + whole,
        "a bomb": recipes.to_query({"x": "x" * 9_000_000}),
    }
    opening = [one for one in place.visitor.functions if one.name.endswith("_open")]
    for name, link in links.items():
        query = "?" + str(_query(link))
        for function in opening[:1] if rng.random() < 0.8 else opening:
            yield Case(
                f"link to {function.name} {name}",
                "link",
                lambda v, q=query, f=function: v.join(f, v.data(f), query=q),
                query,
            )
        if rng.random() < 0.2:
            yield Case(f"GET / {name}", "page", lambda v, q=query: v.request("GET", f"/{q}"), query)


def _query(link: str) -> Any:
    import httpx

    return httpx.QueryParams({"recipe": link})


def _recipe(place: Place) -> dict[str, Any]:
    """That of a drawn car, which is in its file whatever the page keeps."""
    return recipes.read(files.opened(_drawn(place.visitor)))


def _recipes(place: Place) -> Iterator[Case]:
    """Inside PNGs that are dropped to be drawn again."""
    function, rng = place.visitor.named("cars_replay"), place.rng("pngs")
    texts = {
        name: json.dumps(value)
        for name, value in values.spoiled(_recipe(place), place.bad, rng, 120)
    }
    texts |= {
        f"raw {name}": str(value)
        for name, value in values.TEXTS.items()
        if name != "a lone surrogate"
    }
    for name, text in texts.items():

        def send(visitor: Visitor, text: str = text) -> Answer:
            return visitor.bring(function, 0, "drawn.png", files.png_with(recipes.KEY, text))

        yield Case(f"PNG {name}", "png", send, text)


def _uploads(place: Place) -> Iterator[Case]:
    """Files of all kinds to whatever takes a photo; and bad names and bodies of uploads."""
    takers, known = [], set()
    for function in place.visitor.functions:
        for number, id in enumerate(function.inputs):
            stem = re.sub(r"_\d+$", "", function.name)
            if place.visitor.kind(id) in ("file", "image") and (stem, number) not in known:
                known.add((stem, number))
                takers.append((function, number))
    rng = place.rng("uploads")
    for name, make in files.HOSTILE.items():
        suffix, content = make()
        for function, number in rng.sample(takers, 8 if name in files.FORBIDDEN else 2):

            def send(
                v: Visitor,
                f: Function = function,
                n: int = number,
                file: tuple[str, bytes] = (f"photo.{suffix}", content),
            ) -> Answer:
                return v.bring(f, n, *file)

            is_refused = name in files.FORBIDDEN
            yield Case(f"{function.name} file {name}", "file", send, name, must_refuse=is_refused)
    for name, text in (
        values.TEXTS | values.paths(place.server.canary, place.server.source)
    ).items():
        if name not in ("a lone surrogate",):
            yield Case(
                f"upload named {name}",
                "upload",
                lambda v, t=str(text): v.upload(t, files.photo()),
                str(text),
            )
    for name, (headers, content) in files.FORMS.items():
        yield Case(
            f"upload form {name}",
            "upload",
            lambda v, h=headers, c=content: v.request(
                "POST", f"{API}/upload", headers=h, content=c
            ),
            name,
        )


def _forged_files(place: Place) -> Iterator[Case]:
    """File values that were never uploaded, or say more than they should."""
    server, rng = place.server, place.rng("forged")
    photo = next(v for v in place.visitor.values.values() if isinstance(v, dict) and "path" in v)
    forged = {
        f"path {k}": {**photo, "path": v}
        for k, v in values.paths(server.canary, server.source).items()
    }
    forged |= {f"url {k}": {**photo, "url": v} for k, v in values.TEXTS.items()}
    forged |= {f"name {k}": {**photo, "orig_name": v} for k, v in place.bad.items()}
    forged |= {f"size {k}": {**photo, "size": v} for k, v in values.NUMBERS.items()}
    forged |= {
        "path inside up": {**photo, "path": photo["path"] + "/../../../canary/kept.txt"},
        "path NUL": {**photo, "path": photo["path"] + "\x00.png"},
        "no meta": {"path": str(server.canary / "kept.txt")},
        "address": {**photo, "path": "http://127.0.0.1:1/x.png"},
        "stream": {**photo, "is_stream": True}, "other meta": {**photo, "meta": {"_type": "x"}},
        "the log": {**photo, "path": str(server.log)},
    }  # fmt: skip
    takers = [
        (function, number)
        for function in place.visitor.functions
        for number, id in enumerate(function.inputs)
        if place.visitor.kind(id) in ("file", "image") and function.name != "training"
    ]
    for name, file in forged.items():
        for function, number in rng.sample(takers, 3):
            data = place.visitor.data(function)
            data[number] = [file] if isinstance(data[number], list) else file
            yield _joined(function, data, f"{function.name} forged {name}", "forged")


def _routes(place: Place) -> Iterator[Case]:
    """Every route, with names of files and other surprises in it."""
    odd = values.TEXTS | values.paths(place.server.canary, place.server.source)
    odd |= {"encoded up": "%2e%2e/%2e%2e/canary/kept.txt", "doubly": "%252e%252e%252fapp.py"}
    rng = place.rng("routes")
    for path in files.ROUTES:
        for name, text in rng.sample(sorted(odd.items()), 8):
            at = path.replace("{}", files.quoted(text)[:8000])
            yield Case(f"GET {path} {name}", "route", lambda v, at=at: v.request("GET", at), at)
    for path in ("/", "/config", f"{API}/info", f"{API}/queue/join", f"{API}/upload", "/theme.css"):
        for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "HEAD"):
            yield Case(
                f"{method} {path}", "method", lambda v, m=method, p=path: v.request(m, p), path
            )
        for name, headers in files.HEADERS.items():
            yield Case(
                f"GET {path} {name}",
                "headers",
                lambda v, h=headers, p=path: v.request("GET", p, headers=h),
                str(headers),
            )
    for path in (f"{API}/cancel", f"{API}/reset", f"{API}/component_server", f"{API}/stream/x", f"{API}/vibe-edit",
                 f"{API}/process_recording", f"{API}/call/v2/cars_sample", "/login", f"{API}/run-history/connect"):  # fmt: skip
        for name, value in rng.sample(sorted(place.bad.items()), 12):
            body = {
                "event_id": value,
                "session_hash": value,
                "fn_index": 0,
                "component_id": value,
                "fn_name": value,
                "data": value,
                "model": value,
                "prompt": value,
            }
            yield Case(
                f"POST {path} {name}",
                "post",
                lambda v, p=path, b=body: v.request(
                    "POST", p, content=json.dumps(b).encode(), is_json=True
                ),
                json.dumps(body),
            )
