"""A visitor who talks HTTP to the page, and sends what the page itself never would."""

import json
import secrets
import time

import httpx


class Visitor:
    """One session at the page."""

    def __init__(self, address):
        self.http = httpx.Client(base_url=address, timeout=120)
        self.session = secrets.token_hex(8)
        config = self.http.get("/config").raise_for_status().json()
        self.components = {one["id"]: one for one in config["components"]}
        self.events = config["dependencies"]
        self.warnings = []  # What the page has said beside its answers.

    def inputs(self, event):
        """The components whose values a handler takes."""
        return [self.components[i] for i in event["inputs"]]

    def event(self, name):
        """The event of a handler by its name in the API, private ones too."""
        return next(one for one in self.events if one["api_name"] == name)

    def values(self, event):
        """What the page itself would send at first."""
        return [one["props"].get("value") for one in self.inputs(event)]

    def upload(self, content, name="x.png"):
        """The file as a component's value."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        (path,) = answer.raise_for_status().json()
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def join(self, event, data, query="", **more):
        """The answer to the request alone, before anything runs."""
        body = {"fn_index": event["id"], "data": data, "session_hash": self.session, **more}
        return self.post(f"/gradio_api/queue/join{query}", json.dumps(body))

    def post(self, address, body):
        """The answer to a text that is said to be JSON."""
        return self.http.post(address, content=body, headers={"content-type": "application/json"})

    def call(self, event, data, **more):
        """The values that a handler gives, or the sentence that refuses."""
        answer = self.join(event, data, **more)
        if answer.status_code != 200:
            return answer.json()["detail"]
        address = f"/gradio_api/queue/data?session_hash={self.session}"
        with self.http.stream("GET", address) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if message.get("msg") == "log":
                    self.warnings.append(message["log"])
                if message.get("msg") == "process_completed":
                    made = message["output"]
                    return made["data"] if message["success"] else made["error"]
        raise AssertionError("the event never ended")


def wait_until(condition, seconds=20):
    """Whether the condition becomes true; a busy machine needs a while."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()
