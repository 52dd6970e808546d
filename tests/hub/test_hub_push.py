"""Publishing and loading against the Hub double: what happened is told once, and asked many times.

Importing torch and diffusers takes longer than all the steps, so two processes take every step: one
that publishes, loads and runs into every fault, and one that is offline with the first one's cache.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.hub_server import HubServer

ONLINE = """
import hashlib, json, os, sys
import torch
import genmodels
from genmodels.hub.repo import upload
from genmodels.models import dcgan, stylegan2

def tiny_dcgan(seed):
    torch.manual_seed(seed)
    generator = dcgan.Generator(16, z_dim=4, base_channels=4)
    for parameter in generator.parameters():  # Freshly initialised, it draws plain grey.
        torch.nn.init.normal_(parameter)
    return genmodels.DCGANPipeline(generator)

def tiny_stylegan2():
    torch.manual_seed(0)
    generator = stylegan2.Generator(16, z_dim=4, w_dim=4, base_channels=4, max_channels=8)
    return genmodels.StyleGAN2Pipeline(generator)

def pixels(pipe):
    images = pipe(num_images=2, seed=7).images
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

def outcome(call, *args, **kwargs):
    try:
        return ["done", call(*args, **kwargs)]
    except (ValueError, OSError) as error:
        return [type(error).__name__, str(error)]

folder, told = sys.argv[1], {}

old, new, style = tiny_dcgan(0), tiny_dcgan(1), tiny_stylegan2()
commit = old.push_to_hub("user/tiny").rsplit("/")[-1]
new.push_to_hub("user/tiny")
style.push_to_hub("user/style")
old.push_to_hub("user/secret", private=True)
told["commit"] = commit
told["published"] = {
    "user/tiny": pixels(new), f"user/tiny@{commit}": pixels(old), "user/style": pixels(style)
}
told["loaded"] = {source: pixels(genmodels.load(source)) for source in told["published"]}

told["missing repo"] = outcome(genmodels.load, "user/none")
told["missing revision"] = outcome(genmodels.load, "user/tiny@none")
told["card check down"] = outcome(upload, folder, "user/card")
told["wrong token"] = outcome(upload, folder, "user/new", token="hf_wrong")
told["someone else's"] = outcome(upload, folder, "other/new")
told["nobody's"] = outcome(upload, folder, "nobody/new")
told["not a name"] = outcome(upload, folder, "one/two/three")
told["failed and cut once"] = outcome(upload, folder, "user/once")
told["down"] = outcome(upload, folder, "user/down")
told["down, from memory"] = outcome(old.push_to_hub, "user/down")
told["broken"] = outcome(upload, folder, "user/broken")
told["broken, again"] = outcome(upload, folder, "user/broken")
told["lost answer"] = outcome(upload, folder, "user/lost")
told["lost answer, again"] = outcome(upload, folder, "user/lost")

token = os.environ.pop("HF_TOKEN")
told["no token"] = outcome(upload, folder, "user/new")
told["secret, no token"] = outcome(genmodels.load, "user/secret")
told["secret"] = pixels(genmodels.load("user/secret", token=token)) == pixels(old)
print(json.dumps(told))
"""

OFFLINE = """
import hashlib, json, sys
import genmodels

def pixels(pipe):
    images = pipe(num_images=2, seed=7).images
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()

print(json.dumps({source: pixels(genmodels.load(source)) for source in sys.argv[1:]}))
"""

FOREIGN = {"pipeline.py": b"raise SystemExit", "generator/pytorch_model.bin": b"\x80\x04."}

pytestmark = pytest.mark.slow


@dataclass
class Story:
    """What the two processes told, and what the Hub saw of it."""

    hub: HubServer
    folder: Path
    weights: bytes  # Of the file in `folder`.
    online: dict[str, Any]
    offline: dict[str, str]
    calls_online: int


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    root = tmp_path_factory.mktemp("push")
    folder, home, weights = root / "kept", root / "home", bytes(range(256)) * 4000
    folder.mkdir()
    (folder / "w.safetensors").write_bytes(weights)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    with HubServer() as hub:
        hub.add("user/tiny", FOREIGN)
        hub.fail("POST /api/validate-yaml", 503, times=1)
        hub.fail("POST */user/once/preupload/*", 500, times=1)
        hub.cut(f"PUT /lfs/{hashlib.sha256(weights).hexdigest()}", after_bytes=100_000, times=1)
        hub.fail("POST */user/down/commit/*", 503)
        hub.cut("POST */user/broken/commit/*", after_bytes=10, times=1)
        hub.cut("POST */user/lost/commit/*", times=1)
        online = json.loads(hub.run(ONLINE, home, folder))
        calls_online = len(hub.calls)
        sources = online["published"]
        offline = json.loads(hub.run(OFFLINE, home, *sources, HF_HUB_OFFLINE="1"))
        yield Story(hub, folder, weights, online, offline, calls_online)


def test_a_loaded_pipeline_draws_the_pictures_of_the_published_one(story):
    published = story.online["published"]
    assert story.online["loaded"] == published
    assert len(set(published.values())) == 3  # The pinned commit is not the newest one.


def test_the_second_load_needs_no_hub(story):
    assert story.offline == story.online["published"]
    assert len(story.hub.calls) == story.calls_online


def test_code_and_pickles_in_a_repo_are_never_downloaded(story):
    assert set(FOREIGN) < set(story.hub.files("user/tiny"))
    assert story.hub.seen("GET */user/tiny/resolve/*.safetensors")
    assert not story.hub.seen("* */resolve/*.py")
    assert not story.hub.seen("* */resolve/*.bin")


def test_a_private_model_opens_with_its_token_only(story):
    kind, words = story.online["secret, no token"]
    assert kind == "ValueError"
    assert "user/secret" in words
    assert story.online["secret"]


@pytest.mark.parametrize("name", ["missing repo", "missing revision"])
def test_loading_what_is_not_there_is_a_value_error(story, name):
    kind, words = story.online[name]
    assert kind == "ValueError"
    assert "user/none" in words or "user/tiny@none" in words


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("no token", "hf auth login"),
        ("wrong token", "token"),
        ("someone else's", "other/new"),
        ("nobody's", "nobody/new"),
        ("not a name", "one/two/three"),
    ],
)
def test_a_refused_upload_says_what_to_do(story, name, advice):
    kind, words = story.online[name]
    assert kind == "ValueError"
    assert advice in words


def test_one_failure_and_one_cut_are_survived_without_a_word(story):
    assert story.online["failed and cut once"][0] == "done"
    assert story.hub.files("user/once")["w.safetensors"] == story.weights
    plans = story.hub.seen("POST */user/once/preupload/*")
    assert [call.status for call in plans] == [500, 200]
    cut, whole = story.hub.seen(f"PUT /lfs/{hashlib.sha256(story.weights).hexdigest()}")
    assert cut.received_bytes < len(story.weights) == whole.received_bytes  # And never again.


@pytest.mark.parametrize("name", ["card check down", "down", "broken", "lost answer"])
def test_a_failing_hub_is_a_connection_error_that_names_the_kept_folder(story, name):
    kind, words = story.online[name]
    assert kind == "ConnectionError"
    assert str(story.folder) in words
    assert (story.folder / "w.safetensors").read_bytes() == story.weights


def test_a_failed_push_from_memory_names_no_folder_that_is_gone(story):
    kind, words = story.online["down, from memory"]
    assert kind == "ConnectionError"
    named = [Path(word.strip(".,;:")) for word in words.split() if word.startswith("/")]
    assert all(path.exists() for path in named)


@pytest.mark.parametrize("repo", ["broken", "lost"])
def test_the_same_call_again_completes_a_broken_upload(story, repo):
    name = {"broken": "broken, again", "lost": "lost answer, again"}[repo]
    assert story.online[name][0] == "done"
    assert story.hub.files(f"user/{repo}")["w.safetensors"] == story.weights
    commits = story.hub.seen(f"POST */user/{repo}/commit/*")
    assert [call.status for call in commits] == {"broken": [None, 200], "lost": [None]}[repo]
