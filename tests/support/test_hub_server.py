"""The Hub double, proven with plain calls of the real client; every other Hub test stands on it."""

import json
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.support.hub_server import Account, HubServer

# One process for each group of steps: importing the client alone costs a second.
WRITE_AND_READ = """
import json, pathlib, sys
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

api, folder = HfApi(), pathlib.Path(sys.argv[1])
api.create_repo("user/tiny")
api.create_repo("user/tiny", exist_ok=True)
first = api.upload_folder(repo_id="user/tiny", folder_path=folder).oid
again = api.upload_folder(repo_id="user/tiny", folder_path=folder).oid
(folder / "config.json").write_text("{}")
(folder / "README.md").unlink()
second = api.upload_folder(repo_id="user/tiny", folder_path=folder, delete_patterns="*.md").oid
snapshot = pathlib.Path(snapshot_download("user/tiny"))
old = hf_hub_download("user/tiny", "config.json", revision=first)
listed = {f.path: f.lfs is not None for f in api.list_repo_tree("user/tiny", recursive=True)}
[nested] = api.get_paths_info("user/tiny", ["sub/notes.txt"])
api.create_branch("user/tiny", branch="draft", revision=first)

api.create_repo("user/faces", repo_type="dataset", private=True)
api.upload_file(
    repo_id="user/faces", repo_type="dataset", path_or_fileobj=b"1", path_in_repo="train/a.txt"
)
dataset = snapshot_download("user/faces", repo_type="dataset")
api.create_repo("user/app", repo_type="space", space_sdk="gradio")
api.upload_file(repo_id="user/app", repo_type="space", path_or_fileobj=b"1", path_in_repo="app.py")
space = hf_hub_download("user/app", "app.py", repo_type="space")
print(json.dumps({
    "name": api.whoami()["name"],
    "commits": [first, again, second],
    "snapshot": {
        str(p.relative_to(snapshot)): p.stat().st_size for p in snapshot.rglob("*") if p.is_file()
    },
    "same weights": (snapshot / "w.safetensors").read_bytes() ==
        (folder / "w.safetensors").read_bytes(),
    "old": pathlib.Path(old).read_text(),
    "lfs": listed,
    "nested": nested.size,
    "branches": {b.name: b.target_commit for b in api.list_repo_refs("user/tiny").branches},
    "dataset": (pathlib.Path(dataset) / "train/a.txt").read_text(),
    "space": pathlib.Path(space).read_text(),
}))
"""

REFUSALS = """
import json
from huggingface_hub import HfApi, hf_hub_download

def name_of_error(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [type(error).__name__, status]

def upload(repo_id, token, content=b"1", name="a.txt"):
    HfApi(token=token).upload_file(repo_id=repo_id, path_or_fileobj=content, path_in_repo=name)

create, read = HfApi().create_repo, hf_hub_download
print(json.dumps({
    "create without token": name_of_error(create, "user/new", token=False),
    "create with a wrong token": name_of_error(create, "user/new", token="hf_wrong"),
    "create for someone else": name_of_error(create, "other/new"),
    "create for nobody": name_of_error(create, "nobody/new"),
    "create with a read token": name_of_error(create, "user/new", token="hf_read"),
    "write for someone else": name_of_error(upload, "user/tiny", "hf_other"),
    "write nowhere": name_of_error(upload, "user/none", "hf_user"),
    "bad card": name_of_error(upload, "user/tiny", "hf_user", b"---\\na: [\\n---\\n", "README.md"),
    "missing repo": name_of_error(read, "user/none", "a.txt"),
    "missing file": name_of_error(read, "user/tiny", "none.txt"),
    "missing revision": name_of_error(read, "user/tiny", "a.txt", revision="none"),
    "private, not logged in": name_of_error(read, "user/private", "a.txt", token=False),
    "private, someone else": name_of_error(read, "user/private", "a.txt", token="hf_other"),
    "private, the owner": name_of_error(read, "user/private", "a.txt"),
}))
"""

FAULTS = """
import pathlib, sys
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx

for _ in range(3):
    try:
        HfApi().upload_folder(repo_id="user/tiny", folder_path=sys.argv[1])
        print("done")
    except HfHubHTTPError as error:
        print(error.response.status_code)
    except httpx.RemoteProtocolError:
        print("lost")
print(pathlib.Path(hf_hub_download("user/tiny", "w.safetensors")).stat().st_size)
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def hub() -> Iterator[HubServer]:
    accounts = {
        "hf_user": Account("user"),
        "hf_other": Account("other"),
        "hf_read": Account("user", can_write=False),
    }
    with HubServer(accounts) as hub:
        yield hub


def test_what_the_client_uploads_is_what_it_downloads(hub, tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text('{"a": 1}')
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    (folder / "sub" / "notes.txt").write_text("x" * 100)
    (folder / "big.txt").write_text("y" * 11_000_000)
    (folder / "w.safetensors").write_bytes(bytes(range(256)) * 10)

    told = json.loads(hub.run(WRITE_AND_READ, tmp_path / "home", folder))

    first, again, second = told["commits"]
    assert first == again != second  # Unchanged files make no commit ...
    assert len(hub.seen("POST */user/tiny/commit/main")) == 2
    assert len(hub.seen("PUT /lfs/*")) == 2  # ... and large ones travel once.
    assert told["name"] == "user"
    assert told["old"] == '{"a": 1}'
    assert told["same weights"]
    names = {".gitattributes", "config.json", "sub/notes.txt", "big.txt", "w.safetensors"}
    assert set(told["snapshot"]) == set(told["lfs"]) == names
    assert told["snapshot"]["big.txt"] == 11_000_000
    assert {path for path, is_lfs in told["lfs"].items() if is_lfs} == {"big.txt", "w.safetensors"}
    assert told["nested"] == 100
    assert told["branches"] == {"main": second, "draft": first}
    assert told["dataset"] == told["space"] == "1"
    assert hub.files("user/tiny")["config.json"] == b"{}"
    assert "README.md" in hub.files("user/tiny", first)


def test_each_refusal_is_the_clients_own_exception(hub, tmp_path):
    hub.add("user/tiny", {"a.txt": b"1"})
    hub.add("user/private", {"a.txt": b"1"}, private=True)

    told = json.loads(hub.run(REFUSALS, tmp_path / "home"))

    assert told == {
        "create without token": ["HfHubHTTPError", 401],
        "create with a wrong token": ["HfHubHTTPError", 401],
        "create for someone else": ["HfHubHTTPError", 403],
        "create for nobody": ["HfHubHTTPError", 404],
        "create with a read token": ["HfHubHTTPError", 403],
        "write for someone else": ["HfHubHTTPError", 403],
        "write nowhere": ["RepositoryNotFoundError", 404],
        "bad card": ["ValueError", None],
        "missing repo": ["RepositoryNotFoundError", 404],
        "missing file": ["RemoteEntryNotFoundError", 404],
        "missing revision": ["RevisionNotFoundError", 404],
        "private, not logged in": ["RepositoryNotFoundError", 401],
        "private, someone else": ["RepositoryNotFoundError", 404],
        "private, the owner": None,
    }
    assert hub.files("user/tiny") == {"a.txt": b"1"}


def test_cut_connections_are_resumed_and_errors_come_when_ordered(hub, tmp_path):
    size = 12_000_000
    hub.add("user/tiny", {"a.txt": b"1"})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "w.safetensors").write_bytes(bytes(size))
    hub.cut("PUT /lfs/*", after_bytes=1_000_000, times=1)
    hub.fail("POST */commit/main", 503, times=1)
    hub.cut("POST */commit/main", times=1)  # Made, but its answer is lost.
    hub.cut("GET *.safetensors", after_bytes=11_000_000, times=1)

    told = hub.run(FAULTS, tmp_path / "home", tmp_path / "folder")

    assert told.split() == ["503", "lost", "done", str(size)]
    cut, whole = hub.seen("PUT /lfs/*")
    assert cut.status is None
    assert 1_000_000 < cut.received_bytes < size
    assert (whole.status, whole.received_bytes) == (200, size)
    assert [call.status for call in hub.seen("POST */commit/main")] == [503, None]
    # The client writes in steps of 10 MiB and goes on from the last whole one.
    assert [call.byte_range for call in hub.seen("GET *.safetensors")] == [
        "",
        f"bytes={10 * 2**20}-",
    ]


def test_slow_hub_outlasts_a_clients_patience(hub):
    hub.slow("GET /api/*", seconds=5, times=1)

    with pytest.raises(TimeoutError):
        urlopen(f"{hub.url}/api/models/user/tiny", timeout=0.1)
    with pytest.raises(HTTPError, match="401"):
        urlopen(f"{hub.url}/api/models/user/tiny", timeout=5)
