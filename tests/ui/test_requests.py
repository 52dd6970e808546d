"""The server by HTTP: what may be asked for and sent, how it refuses, what it tells browsers."""

import json
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from genmodels.ui.server import requests
from genmodels.ui.server.requests import MAX_JSON, Refusal
from genmodels.ui.server.uploads_limit import MAX_FILES, Allowance
from tests.support.visitor import Visitor
from tests.ui.test_blocks import is_sentence

JOIN = "/gradio_api/queue/join"
GONE = [  # What Gradio has and this page has no use for.
    ("GET", "/monitoring"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
    ("GET", "/gradio_api/runs"),
    ("GET", "/gradio_api/deep_link"),
    ("GET", "/gradio_api/proxy=https://x.hf.space/"),
    ("GET", "/gradio_api/custom_component/x/client/component/index.js"),
    ("GET", "/gradio_api/dev/reload"),
    ("POST", "/gradio_api/component_server"),
    ("POST", "/gradio_api/process_recording"),
    ("POST", "/gradio_api/vibe-edit"),
    ("POST", "/gradio_api/stream/x"),
    ("POST", "/login"),
    ("POST", "/"),
    ("PUT", "/gradio_api/upload"),
    ("DELETE", "/config"),
]
NO_FILES = [
    "http://127.0.0.1:1/x", "https://huggingface.co/x", "//huggingface.co/x", "file:///etc/passwd",
    "/etc/passwd", "../../../etc/passwd", "app.py", "x" * 5000, "%00", "/tmp/%00x", "%0a", "C:\\x",
]  # fmt: skip
BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "no text": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"7",
    "a number of 5000 digits": b'{"fn_index": ' + b"1" * 5000 + b"}",
    "NaN": b'{"fn_index": 1, "data": [NaN], "session_hash": "x"}',
    "infinity": b'{"fn_index": 1, "data": [-Infinity], "session_hash": "x"}',
    "a number too large": b'{"fn_index": 1, "data": [1e999], "session_hash": "x"}',
    "deep": b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "quite deep": b'{"data": ' + b"[" * 100 + b"]" * 100 + b', "fn_index": 1}',
    "no handler": b'{"data": [], "session_hash": "x"}',
    "a handler of 10**6": b'{"data": [], "fn_index": 1000000, "session_hash": "x"}',
    "a handler below": b'{"data": [], "fn_index": -1, "session_hash": "x"}',
    "a handler by name": b'{"data": [], "fn_index": "translate", "session_hash": "x"}',
    "a handler that is true": b'{"data": [], "fn_index": true, "session_hash": "x"}',
    "a handler of the browser": b'{"data": [], "fn_index": 0, "session_hash": "x"}',
    "no data": b'{"fn_index": 11, "session_hash": "x"}',
    "data that is text": b'{"data": "x", "fn_index": 11, "session_hash": "x"}',
    "data that is null": b'{"data": null, "fn_index": 11, "session_hash": "x"}',
    "no session": b'{"data": [], "fn_index": 11}',
    "a session of markup": b'{"data": [], "fn_index": 11, "session_hash": "<b>x</b>"}',
    "a session of a path": b'{"data": [], "fn_index": 11, "session_hash": "../x"}',
    "a session that is a list": b'{"data": [], "fn_index": 11, "session_hash": []}',
    "a long session": b'{"data": [], "fn_index": 11, "session_hash": "' + b"x" * 9000 + b'"}',
    "batched": b'{"data": [], "fn_index": 11, "session_hash": "x", "batched": true}',
    "a trigger": b'{"data": [], "fn_index": 11, "session_hash": "x", "trigger_id": "x"}',
    "a token": b'{"data": [], "fn_index": 11, "session_hash": "x", "oauth_token": "hf_x"}',
    "an event": b'{"data": [], "fn_index": 11, "session_hash": "x", "event_id": {}}',
}
WAYS = [
    JOIN, "/gradio_api/call/cars_sample", "/gradio_api/run/cars_sample", "/gradio_api/api/explain",
    "/gradio_api/call/v2/cars_sample", "/gradio_api/cancel", "/gradio_api/reset",
    "/gradio_api/call/nothing", "/gradio_api/run/nothing", "/gradio_api/call/v2/nothing",
    "/gradio_api/call/v2/vary",
]  # fmt: skip


@pytest.fixture(scope="module")
def visitor(app_address):
    return Visitor(app_address)


def told(answer):
    """The sentence of a refusal."""
    assert 400 <= answer.status_code < 500, answer.text[:300]
    is_json = answer.headers["content-type"].startswith("application/json")
    text = answer.json().get("detail", answer.json().get("error")) if is_json else answer.text
    assert is_sentence(text), text
    assert len(text) < 1000
    return text


@pytest.mark.parametrize(("method", "address"), GONE)
def test_addresses_that_the_page_has_no_use_for_do_not_answer(visitor, method, address):
    answer = visitor.http.request(method, address)
    assert answer.status_code in (404, 405)
    told(answer)


@pytest.mark.parametrize("file", NO_FILES)
def test_no_file_is_given_but_the_pages_own(visitor, file):
    told(visitor.http.get(f"/gradio_api/file={file}"))


@pytest.mark.parametrize("asked", ["bytes=1-2-3", "bytes=9-1", "bytes=-", "bytes=999999-", "x=1"])
def test_a_range_that_makes_no_sense_is_no_fault_of_the_server(visitor, asked):
    file = visitor.upload(b"x" * 1000, "x.txt")
    answer = visitor.http.get(f"/gradio_api/file={file['path']}", headers={"range": asked})
    assert answer.status_code < 500


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_makes_no_sense_is_refused_in_a_sentence(visitor, body):
    for way in WAYS:
        answer = visitor.post(way, body)
        is_done = way.endswith("reset") and answer.status_code == 200
        # By the name in the address they call a handler, which refuses its values in time.
        is_called = "/call/" in way and answer.status_code == 200
        if not is_done and not is_called:
            told(answer)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/xml", ""])
def test_a_body_that_is_not_said_to_be_json_is_refused(visitor, kind):
    told(visitor.http.post(JOIN, content=b"{}", headers={"content-type": kind}))


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_refused_and_not_returned(visitor, is_chunked):
    body = b'{"data": ["' + b"x" * (40 << 20) + b'"], "fn_index": 11, "session_hash": "x"}'
    parts = (body[i : i + 65536] for i in range(0, len(body), 65536))
    answer = visitor.post(JOIN, parts if is_chunked else body)
    assert answer.status_code == 413
    assert "bytes at most" in told(answer)


def test_a_body_that_says_that_it_is_short_and_a_length_that_is_none_are_refused(visitor):
    for length in ("-1", "1e3", "9" * 40):
        request = visitor.http.build_request("POST", JOIN, content=b"{}")
        request.headers["content-length"] = length
        request.headers["content-type"] = "application/json"
        with pytest.raises(httpx.HTTPError):
            visitor.http.send(request).raise_for_status()


def test_a_handler_that_waits_in_the_queue_is_not_called_around_it(visitor):
    answer = visitor.post("/gradio_api/run/cars_sample", json.dumps({"data": []}))
    assert "queue" in told(answer)


def test_a_direct_calls_refusal_is_no_fault_of_the_server(visitor):
    body = json.dumps({"data": ["none of them"], "session_hash": "x"})
    answer = visitor.post("/gradio_api/run/chosen_task", body)
    assert answer.status_code == 422
    assert "must be one of" in told(answer)


def test_what_a_frame_is_told_stands_in_the_words_below_it_without_its_markup(visitor):
    moved = visitor.event("moved")
    values = visitor.values(moved)
    place = next(i for i, one in enumerate(values) if isinstance(one, str) and "0.5" in one)
    values[place] = "<img src=x onerror=alert(1)>"
    answers = visitor.call(moved, values)
    assert any("&lt;img" in str(answer) for answer in answers)
    assert not any("<img" in str(answer) for answer in answers)


@pytest.mark.parametrize(
    "address",
    [
        "/gradio_api/queue/data?session_hash=nobody",
        "/gradio_api/queue/data",
        "/gradio_api/queue/data?session_hash=" + "x" * 20_000,
        "/gradio_api/call/cars_sample/nothing",
        "/gradio_api/call/v2/cars_sample/nothing",
        "/gradio_api/heartbeat/..%2f..%2fx",
        "/gradio_api/heartbeat/" + "x" * 500,
    ],
)
def test_a_session_that_nobody_has_is_not_waited_for(visitor, address):
    told(visitor.http.get(address))


def test_uploads_are_bounded_in_number_and_size(visitor):
    files = [("files", (f"{i}.txt", b"x")) for i in range(MAX_FILES + 5)]
    answer = visitor.http.post("/gradio_api/upload", files=files)
    assert answer.status_code == 413
    assert "files may come at once" in told(answer)
    answer = visitor.http.post("/gradio_api/upload", files={"files": ("x.png", b"x" * (31 << 20))})
    assert answer.status_code == 413
    told(answer)
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": str(1 << 40)}
    address = urlsplit(str(visitor.http.base_url))
    with socket.create_connection((address.hostname, address.port), 20) as connection:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        asked = ["POST /gradio_api/upload HTTP/1.1", "host: x", *lines, "", ""]
        connection.sendall("\r\n".join(asked).encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"x"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data; boundary=x", b"--x\r\nbad\r\n\r\nx\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="files"\r\n\r\nno file\r\n--x--\r\n',
        ),
    ],
)
@pytest.mark.parametrize("query", ["", "?upload_id=abc"])
def test_an_upload_that_makes_no_sense_is_no_fault_of_the_server(visitor, kind, body, query):
    address = f"/gradio_api/upload{query}"
    answer = visitor.http.post(address, content=body, headers={"content-type": kind})
    assert answer.status_code < 500


def test_the_page_tells_browsers_to_run_no_script_of_others(visitor):
    answer = visitor.http.get("/")
    policy = answer.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    scripts = policy.partition("script-src")[2].partition(";")[0]
    assert "'unsafe-inline'" not in scripts
    assert answer.text.count("<script") == answer.text.count(f'<script nonce="{nonce}"') >= 5
    assert visitor.http.get("/").headers["content-security-policy"] != policy
    assert "form-action 'self'" in policy
    assert "frame-ancestors 'self' https://huggingface.co" in policy
    assert "x-frame-options" not in answer.headers
    head = visitor.http.head("/")
    assert head.status_code == 200


def test_every_answer_forbids_to_guess_types_and_a_file_may_do_nothing(visitor):
    file = visitor.upload(b"<svg onload='alert(1)'/>", "x.svg")
    for address in ("/", "/config", f"/gradio_api/file={file['path']}", "/nothing", "/theme.css"):
        answer = visitor.http.get(address)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
    policy = visitor.http.get(f"/gradio_api/file={file['path']}").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")


def test_the_page_says_that_it_draws_and_is_not_asked_too_often(visitor):
    answer = visitor.http.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["draws"] is True
    assert visitor.http.get("/healthz").json() == answer.json()


def test_an_allowance_is_used_up_and_comes_back():
    allowance = Allowance(10, 1e9)
    assert allowance.take(10)
    time.sleep(1e-6)
    assert allowance.take(10)
    allowance = Allowance(10, 0)
    assert [allowance.take(6), allowance.take(6), allowance.take(4)] == [True, False, True]


@pytest.mark.parametrize("body", [b'{"a": ' * 40 + b"1" + b"}" * 40, b"{}" * 2, b'{"a": 1e400}'])
def test_json_is_an_object_of_finite_numbers_that_is_not_deep(body):
    with pytest.raises(Refusal):
        requests.parsed(body)
    assert requests.parsed(b'{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert MAX_JSON < 1 << 20
