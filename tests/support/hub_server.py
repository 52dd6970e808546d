"""A small Hub on 127.0.0.1 that the real client cannot tell from the public one.

It speaks the HTTP contract of huggingface_hub 2.4 without Xet: accounts and tokens, private repos,
models / datasets / spaces, LFS uploads, commits, branches, ranged downloads. Repos live in memory.
Faults (a refused request, a connection cut half-way, a slow answer) are ordered by the test, and
every request is logged. Start at `HubServer`; each route below names the client's call it answers.
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

import uvicorn
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".npz", ".npy", ".parquet")
LFS_BYTES = 10 * 2**20  # Larger files travel by LFS whatever their name.
GIT_ATTRIBUTES = "".join(f"*{s} filter=lfs diff=lfs merge=lfs -text\n" for s in LFS_SUFFIXES)
DATE = "2026-01-01T00:00:00.000Z"
ANONYMOUS = "Invalid username or password."


@dataclass(frozen=True)
class Account:
    """Who a token belongs to."""

    name: str  # The user's own namespace.
    orgs: tuple[str, ...] = ()  # Further namespaces this account may write to.
    can_write: bool = True  # False for a read-only token.

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.name, *self.orgs)


@dataclass(frozen=True)
class Blob:
    """One version of one file, with the two names that git and LFS give it."""

    data: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def pointer(self) -> bytes:
        oid, size = self.sha256, len(self.data)
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
        )

    @property
    def git_oid(self) -> str:
        stored = self.pointer if self.is_lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        """What tree and paths-info say of a file."""
        entry = {"type": "file", "path": path, "oid": self.git_oid, "size": len(self.data)}
        if self.is_lfs:
            lfs = {"oid": self.sha256, "size": len(self.data), "pointerSize": len(self.pointer)}
            entry["lfs"] = lfs
        return entry


@dataclass
class Repo:
    """Commits are whole snapshots: {sha: {path: Blob}}; branches point at them."""

    id: str
    kind: str  # "models", "datasets" or "spaces".
    private: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, Blob], branch: str, message: str) -> str:
        names = sorted((path, blob.sha256) for path, blob in files.items())
        history = (self.id, self.branches.get(branch), message, names)
        sha = hashlib.sha1(repr(history).encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str:
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha


@dataclass
class Call:
    """One request as it arrived. `hub.seen("GET *.safetensors")` finds it by method and path."""

    method: str
    path: str
    byte_range: str  # The Range header, empty when the whole file was asked for.
    received_bytes: int = 0  # Of the body; fewer than were sent when the upload was cut.
    status: int | None = None  # None when the connection was cut before an answer.

    def matches(self, pattern: str) -> bool:
        return fnmatchcase(f"{self.method} {self.path}", pattern)


@dataclass
class Fault:
    """What goes wrong, for the next `times` calls that match."""

    pattern: str
    times: float
    status: int | None = None
    after_bytes: int | None = None
    loses_answer: bool = False
    delay_seconds: float = 0


class HubError(Exception):
    """An answer with the headers from which the client chooses its exception."""

    def __init__(self, status: int, message: str, code: str = "", commit: str = "") -> None:
        super().__init__(message)
        headers = {"X-Error-Code": code, "X-Error-Message": message, "X-Repo-Commit": commit}
        self.status = status
        self.headers = {name: value for name, value in headers.items() if value}


async def error_response(_: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    return JSONResponse({"error": str(error)}, error.status, error.headers)


class HubServer:
    """`with HubServer() as hub:` runs a Hub on a free port until the block ends.

    Patterns of `fail`, `cut`, `slow` and `seen` are shell patterns over "METHOD /path", such as
    "PUT /lfs/*" or "POST */commit/*". `times=None` means for ever; the oldest fault acts first.
    """

    def __init__(
        self,
        accounts: Mapping[str, Account] | None = None,  # Token -> account; None: two users.
    ) -> None:
        self.accounts = dict(accounts or {"hf_user": Account("user"), "hf_other": Account("other")})
        self.calls: list[Call] = []
        self._faults: list[Fault] = []
        self._repos: dict[tuple[str, str], Repo] = {}
        self._lfs: dict[str, bytes] = {}
        self._lfs_ticket = secrets.token_hex(8)  # Signs upload addresses, which carry no token.
        self._app = Starlette(routes=self._routes(), exception_handlers={HubError: error_response})
        # Listening from here on: a client that comes before the thread is up waits in the queue.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self._serve,
            http="h11",
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            log_level="error",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    # What a test asks of the Hub, in process.

    def client_env(
        self,
        home: Path,  # Becomes HF_HOME; a new folder means an empty cache.
        token: str | None = "hf_user",  # None: not logged in.
        **changes: str,  # Further variables, such as HF_HUB_OFFLINE="1".
    ) -> dict[str, str]:
        """Environment for a process whose Hub is this one; the client reads it at import."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env |= {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",  # With Xet the client skips the LFS contract altogether.
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        if token is not None:
            env["HF_TOKEN"] = token
        return env | changes

    def run(
        self,
        code: str,  # Python source; sys.argv[1:] are `args`.
        home: Path,  # See client_env.
        *args: object,
        token: str | None = "hf_user",  # See client_env.
        **changes: str,  # See client_env.
    ) -> str:
        """What `code` prints in a fresh Python whose Hub is this one; its traceback if it fails."""
        command = [sys.executable, "-c", code, *map(str, args)]
        env = self.client_env(home, token, **changes)
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def add(
        self,
        repo_id: str,  # "namespace/name"; created when missing.
        files: Mapping[str, bytes],  # Written over what the branch `main` holds.
        kind: str = "models",  # "models", "datasets" or "spaces".
        private: bool = False,  # Of a repo created by this call.
    ) -> str:
        """Commit files as another user's upload would have; returns the commit's sha."""
        repo = self._repos.get((kind, repo_id)) or self._create(kind, repo_id, private)
        blobs = {path: Blob(data, needs_lfs(path, data)) for path, data in files.items()}
        self._lfs |= {blob.sha256: blob.data for blob in blobs.values() if blob.is_lfs}
        return repo.commit(repo.commits[repo.branches["main"]] | blobs, "main", "Add files")

    def files(self, repo_id: str, revision: str = "main", kind: str = "models") -> dict[str, bytes]:
        """Content of a repo, the Hub's own .gitattributes left out."""
        repo = self._repos[kind, repo_id]
        files = repo.commits[repo.resolve(revision)]
        return {path: blob.data for path, blob in files.items() if path != ".gitattributes"}

    def seen(self, pattern: str) -> list[Call]:
        return [call for call in self.calls if call.matches(pattern)]

    def fail(self, pattern: str, status: int, times: int | None = None) -> None:
        """Answer with an HTTP error."""
        self._faults.append(Fault(pattern, times or float("inf"), status=status))

    def cut(self, pattern: str, after_bytes: int | None = None, times: int | None = None) -> None:
        """Close the connection after that many bytes of the body: of the file for GET, else of what
        the client sends. None: the Hub does what was asked and only its answer is lost.
        """
        lost = after_bytes is None
        self._faults.append(Fault(pattern, times or float("inf"), None, after_bytes, lost))

    def slow(self, pattern: str, seconds: float, times: int | None = None) -> None:
        """Wait before the answer, as a busy Hub does."""
        self._faults.append(Fault(pattern, times or float("inf"), delay_seconds=seconds))

    def heal(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    # The wire: log, faults, then the routes.

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        call = Call(scope["method"], scope["path"], headers.get("range", ""))
        self.calls.append(call)
        fault = self._next_fault(call)
        cuts_file = fault.after_bytes is not None and call.method == "GET"
        cuts_upload = fault.after_bytes is not None and not cuts_file
        body = await read_body(receive, fault.after_bytes if cuts_upload else None)
        call.received_bytes = len(body)
        await asyncio.sleep(fault.delay_seconds)
        if cuts_upload:
            await self._hang_up(scope, receive)
            return
        start, content = await self._answer(scope, body, fault.status)
        if fault.loses_answer:
            await self._hang_up(scope, receive)
            return
        call.status = start["status"]
        await send(start)
        part = content[: fault.after_bytes] if cuts_file else content
        await send({"type": "http.response.body", "body": part, "more_body": cuts_file})
        if cuts_file:
            await self._hang_up(scope, receive)

    def _next_fault(self, call: Call) -> Fault:
        for fault in self._faults:
            if fault.times > 0 and call.matches(fault.pattern):
                fault.times -= 1
                return fault
        return Fault("", 0)

    async def _answer(self, scope: Scope, body: bytes, status: int | None) -> tuple[Message, bytes]:
        """Start message and whole content, from the routes or from a `fail` fault."""
        answer: list[Message] = []

        async def replay() -> Message:
            return {"type": "http.request", "body": body}

        async def collect(message: Message) -> None:
            answer.append(message)

        # As the gateway in front of the Hub answers: not in JSON.
        refusal = HTMLResponse("<h1>Told to fail</h1>", status or 200)
        app = self._app if status is None else refusal
        await app(scope, replay, collect)
        return answer[0], b"".join(message.get("body", b"") for message in answer[1:])

    async def _hang_up(self, scope: Scope, receive: Receive) -> None:
        """Close the connection once what was sent is out. ASGI has no word for it; uvicorn does."""
        connections = self._server.server_state.connections
        next(c for c in connections if c.scope is scope).transport.close()  # type: ignore[union-attr]
        while (await receive())["type"] != "http.disconnect":
            pass

    # Who is asking, and for which repo.

    def _account(self, request: Request) -> Account | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme and token not in self.accounts:
            raise HubError(401, "Invalid credentials in Authorization header")
        return self.accounts.get(token)

    def _readable(self, request: Request) -> Repo:
        account = self._account(request)
        params = request.path_params
        prefix = request.url.path.split("/")[1]
        kind = params.get("kind", prefix if prefix in ("datasets", "spaces") else "models")
        repo = self._repos.get((kind, f"{params['owner']}/{params['name']}"))
        hidden = repo is not None and repo.private and params["owner"] not in namespaces(account)
        if repo is None or hidden:
            status, message = (401, ANONYMOUS) if account is None else (404, "Repository not found")
            raise HubError(status, message, "RepoNotFound")
        return repo

    def _writable(self, request: Request) -> Repo:
        repo = self._readable(request)
        self._check_may_write(request, request.path_params["owner"])
        return repo

    def _check_may_write(self, request: Request, namespace: str) -> None:
        account = self._account(request)
        if account is None:
            raise HubError(401, ANONYMOUS)
        if namespace not in {name for a in self.accounts.values() for name in a.namespaces}:
            raise HubError(404, f"Namespace {namespace} does not exist")
        if namespace not in account.namespaces or not account.can_write:
            raise HubError(403, f"You don't have the rights to write to {namespace}")

    # Routes.

    def _routes(self) -> list[Route]:
        repo = "/api/{kind}/{owner}/{name}"
        routes = [
            Route("/api/whoami-v2", self._whoami),
            Route("/api/validate-yaml", self._validate_yaml, methods=["POST"]),
            Route("/api/repos/create", self._create_repo, methods=["POST"]),
            Route("/lfs/verify", self._lfs_verify, methods=["POST"]),
            Route("/lfs/{oid}", self._lfs_put, methods=["PUT"]),
            Route(repo, self._info),
            Route(f"{repo}/revision/{{revision}}", self._info),
            Route(f"{repo}/tree/{{revision}}", self._tree),
            Route(f"{repo}/paths-info/{{revision}}", self._paths_info, methods=["POST"]),
            Route(f"{repo}/refs", self._refs),
            Route(f"{repo}/branch/{{branch}}", self._branch, methods=["POST"]),
            Route(f"{repo}/preupload/{{revision}}", self._preupload, methods=["POST"]),
            Route(f"{repo}/commit/{{revision}}", self._commit, methods=["POST"]),
        ]
        for prefix in ("", "/datasets", "/spaces"):
            repo = f"{prefix}/{{owner}}/{{name}}"
            batch = f"{repo}.git/info/lfs/objects/batch"
            routes += [
                Route(batch, self._lfs_batch, methods=["POST"]),
                Route(f"{repo}/resolve/{{revision}}/{{path:path}}", self._download),
            ]
        return routes

    async def _whoami(self, request: Request) -> Response:
        account = self._account(request)
        if account is None:
            raise HubError(401, ANONYMOUS)
        role = "write" if account.can_write else "read"
        auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": role}}
        orgs = [{"type": "org", "name": name} for name in account.orgs]
        return JSONResponse({"type": "user", "name": account.name, "orgs": orgs, "auth": auth})

    async def _validate_yaml(self, request: Request) -> Response:
        """Called by upload_folder for each README.md, before anything is uploaded."""
        content = (await request.json())["content"]
        front = content.split("---\n")[1] if content.startswith("---\n") else "{}"
        try:
            valid = isinstance(yaml.safe_load(front), dict)
        except yaml.YAMLError:
            valid = False
        errors = [] if valid else [{"message": "The card's metadata must be a YAML mapping."}]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _create(self, kind: str, repo_id: str, private: bool) -> Repo:
        repo = self._repos[kind, repo_id] = Repo(repo_id, kind, private)
        attributes = {".gitattributes": Blob(GIT_ATTRIBUTES.encode(), is_lfs=False)}
        repo.commit(attributes, "main", "initial commit")
        return repo

    async def _create_repo(self, request: Request) -> Response:
        asked = await request.json()
        account = self._account(request)
        namespace = asked.get("organization") or (account.name if account else "")
        self._check_may_write(request, namespace)
        kind, repo_id = asked.get("type", "model") + "s", f"{namespace}/{asked['name']}"
        url = f"{self.url}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        if (kind, repo_id) in self._repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        self._create(kind, repo_id, asked.get("visibility") == "private")
        return JSONResponse({"url": url, "name": repo_id, "id": repo_id})

    async def _info(self, request: Request) -> Response:
        """Answers repo_info: what from_pretrained and snapshot_download ask first."""
        repo = self._readable(request)
        sha = repo.resolve(request.path_params.get("revision", "main"))
        info = {"id": repo.id, "author": repo.id.split("/")[0], "sha": sha, "private": repo.private}
        info |= {"tags": [], "downloads": 0, "likes": 0, "gated": False, "disabled": False}
        info |= {"createdAt": DATE, "lastModified": DATE}
        siblings = [{"rfilename": path} for path in repo.commits[sha]]
        return JSONResponse(info | {"siblings": siblings})

    async def _tree(self, request: Request) -> Response:
        """Files of the whole repo, as `recursive=True` asks; folders the client would skip."""
        repo = self._readable(request)
        files = repo.commits[repo.resolve(request.path_params["revision"])]
        return JSONResponse([blob.entry(path) for path, blob in files.items()])

    async def _paths_info(self, request: Request) -> Response:
        repo = self._readable(request)
        files = repo.commits[repo.resolve(request.path_params["revision"])]
        asked = parse_qs((await request.body()).decode()).get("paths", [])
        return JSONResponse([files[path].entry(path) for path in asked if path in files])

    async def _refs(self, request: Request) -> Response:
        repo = self._readable(request)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": sha}
            for name, sha in repo.branches.items()
        ]
        return JSONResponse({"branches": branches, "tags": [], "converts": []})

    async def _branch(self, request: Request) -> Response:
        repo = self._writable(request)
        branch = request.path_params["branch"]
        if branch in repo.branches:
            raise HubError(409, f"Reference already exists: {branch}")
        repo.branches[branch] = repo.resolve((await request.json()).get("startingPoint", "main"))
        return Response(status_code=201)

    async def _preupload(self, request: Request) -> Response:
        """Sorts files into LFS and regular, and names those it has, so the client skips them."""
        repo = self._writable(request)
        files = repo.commits[repo.resolve(request.path_params["revision"])]
        plan = []
        for file in (await request.json())["files"]:
            path, old = file["path"], files.get(file["path"])
            is_lfs = needs_lfs(path, base64.b64decode(file["sample"]), file["size"])
            oid = None if old is None else old.sha256 if is_lfs else old.git_oid
            mode = "lfs" if is_lfs else "regular"
            plan.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return JSONResponse({"files": plan})

    async def _lfs_batch(self, request: Request) -> Response:
        self._writable(request)
        objects = []
        for asked in (await request.json())["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self._lfs:
                put = f"{self.url}/lfs/{asked['oid']}?ticket={self._lfs_ticket}"
                actions = {"upload": {"href": put}, "verify": {"href": f"{self.url}/lfs/verify"}}
                answer["actions"] = actions
            objects.append(answer)
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def _lfs_put(self, request: Request) -> Response:
        if request.query_params.get("ticket") != self._lfs_ticket:
            raise HubError(403, "This upload address was not signed by the Hub")
        data = await request.body()
        if hashlib.sha256(data).hexdigest() != request.path_params["oid"]:
            raise HubError(400, "The content does not match its sha256")
        self._lfs[request.path_params["oid"]] = data
        return Response()

    async def _lfs_verify(self, request: Request) -> Response:
        asked = await request.json()
        if len(self._lfs.get(asked["oid"], b"")) != asked["size"]:
            raise HubError(404, "Object was not uploaded")
        return Response()

    async def _commit(self, request: Request) -> Response:
        repo = self._writable(request)
        branch = request.path_params["revision"]
        head = repo.resolve(branch)
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", head) != head:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[head])
        for line in lines[1:]:
            self._apply(files, line["key"], line["value"])
        sha = repo.commit(files, branch, header["summary"])
        url = f"{self.url}/{repo.id}/commit/{sha}"
        return JSONResponse({"success": True, "commitUrl": url, "commitOid": sha})

    def _apply(self, files: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
        """One line of a commit: the keys are the client's CommitOperation classes."""
        path = value["path"]
        if key == "file":
            files[path] = Blob(base64.b64decode(value["content"]), is_lfs=False)
        elif key == "lfsFile":
            if value["oid"] not in self._lfs:
                raise HubError(400, f"The LFS object of {path} was not uploaded")
            files[path] = Blob(self._lfs[value["oid"]], is_lfs=True)
        elif key in ("deletedFile", "deletedFolder"):
            gone = [p for p in files if p == path or p.startswith(path.rstrip("/") + "/")]
            if not gone:
                raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
            for p in gone:
                del files[p]
        else:
            raise HubError(400, f"Unknown commit operation: {key}")

    async def _download(self, request: Request) -> Response:
        """HEAD and GET of a file; `Range: bytes=N-` resumes one."""
        repo = self._readable(request)
        sha = repo.resolve(request.path_params["revision"])
        blob = repo.commits[sha].get(request.path_params["path"])
        if blob is None:
            raise HubError(404, "Entry not found", "EntryNotFound", commit=sha)
        headers = {"X-Repo-Commit": sha, "ETag": f'"{blob.git_oid}"', "Accept-Ranges": "bytes"}
        size = len(blob.data)
        if blob.is_lfs:
            headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(size)}
        asked = request.headers.get("range", "")
        if not asked:
            return Response(blob.data, headers=headers)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if start >= size:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        return Response(blob.data[start:stop], 206, headers)


def namespaces(account: Account | None) -> Iterable[str]:
    return () if account is None else account.namespaces


def needs_lfs(path: str, sample: bytes, size: int | None = None) -> bool:
    """By name, by size, or because the first bytes are binary (git's own test: a zero byte)."""
    size = len(sample) if size is None else size
    return path.endswith(LFS_SUFFIXES) or size > LFS_BYTES or b"\0" in sample[:512]


async def read_body(receive: Receive, limit: int | None) -> bytes:
    """The whole body of a request, or no more than about `limit` bytes of it."""
    body, more = bytearray(), True
    while more and (limit is None or len(body) <= limit):
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body)
