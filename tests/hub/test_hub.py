"""Folders as the Hub gives them: loaded exactly, or refused in words that name what is wrong.

Everything here is local; `test_hub_push` speaks to a server.
"""

import json
import os
import resource
import shutil
import struct
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import genmodels
from genmodels import zoo
from genmodels.hub import modeling, pipelines, repo
from genmodels.hub import state as resume_state
from genmodels.models import dcgan, stylegan2
from genmodels.pipelines.pipeline_dcgan import DCGANPipeline
from genmodels.pipelines.pipeline_stylegan2 import StyleGAN2Pipeline
from training.runs import checkpoint

TINY = {"resolution": 16, "base_channels": 4, "max_channels": 8}
BIAS = "to_image.bias"


def toy(seed=0):
    torch.manual_seed(seed)
    return DCGANPipeline(dcgan.Generator(z_dim=8, **TINY))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "toy"
    toy().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """A copy of the toy model for a test to spoil."""
    return shutil.copytree(saved, tmp_path / "toy")


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_config(folder, **changes):
    edit_json(folder / "generator" / modeling.CONFIG, **changes)


def edit_weights(folder, edit):
    path = folder / "generator" / modeling.WEIGHTS
    state = load_file(path)
    edit(state)
    path.unlink()  # Its tensors are mapped.
    save_file(state, path)


# Loading and saving.


def test_what_was_saved_comes_back_and_draws_the_same(folder):
    pipeline = genmodels.load(folder)
    assert pipeline.source == folder.name
    assert pipeline.weights_sha256 == toy().weights_sha256
    assert pipeline(1, seed=3).images[0].tobytes() == toy()(1, seed=3).images[0].tobytes()
    state = dcgan.Generator.from_pretrained(folder, subfolder="generator").state_dict()
    assert all(state[key].equal(value) for key, value in toy().generator.state_dict().items())


def test_a_saved_folder_is_json_and_safetensors_only(saved):
    files = sorted(str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file())
    assert files == [
        f"generator/{modeling.CONFIG}",
        f"generator/{modeling.WEIGHTS}",
        pipelines.INDEX,
    ]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_whoever_the_umask_lets_may_read_what_is_written(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        toy().save_pretrained(tmp_path / "model")
        resume_state.save(tmp_path / "state", {"a": torch.zeros(2)}, {})
        checkpoint.save(tmp_path / "run", 1, {"G": toy().generator}, {}, keep=1)
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sum(path.suffix == ".safetensors" for path in files) == 3
    assert {path.name: path.stat().st_mode & 0o777 for path in files} == {
        path.name: mode for path in files
    }


@pytest.mark.parametrize("make", [dcgan.Generator, stylegan2.Generator])
def test_half_precision_halves_the_file_and_hardly_changes_the_picture(make, tmp_path):
    torch.manual_seed(0)
    whole = make(resolution=32, base_channels=16, max_channels=32)
    for name, dtype in (("whole", None), ("half", torch.float16)):
        whole.save_pretrained(tmp_path / name, dtype=dtype)
    sizes = [(tmp_path / name / modeling.WEIGHTS).stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.55 * sizes[0]
    half = make.from_pretrained(tmp_path / "half")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    z = torch.randn(4, whole.config.z_dim)
    with torch.no_grad():
        before, after = (net.eval()(z).clamp(-1, 1) for net in (whole, half))
    assert not before.equal(after)
    assert (before - after).abs().max() / 2 < 1 / 255


def test_a_zoo_name_comes_before_a_folder_and_a_folder_before_a_repo(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(zoo, "FOLDER", tmp_path / "zoo")
    toy(seed=1).save_pretrained(tmp_path / "toy")
    toy(seed=2).save_pretrained(tmp_path / "user" / "toy")
    assert genmodels.load("toy").weights_sha256 == toy(seed=1).weights_sha256
    assert genmodels.load("user/toy").weights_sha256 == toy(seed=2).weights_sha256
    shutil.copytree(saved, tmp_path / "zoo" / "toy")
    assert genmodels.load("toy").weights_sha256 == toy(seed=0).weights_sha256
    assert genmodels.load("toy").source == "toy"


def test_the_embedded_models_are_listed_with_their_facts(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    assert genmodels.list_models() == {}
    for name in ("b-toy", "a-toy"):
        shutil.copytree(saved, tmp_path / name)
        (tmp_path / name / "run.json").write_text(json.dumps({"summary": f"{name}, tiny"}))
    (tmp_path / "no-model").mkdir()
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "config.json").write_text("{}")
    assert list(genmodels.list_models().items()) == [
        ("a-toy", "a-toy, tiny"),
        ("b-toy", "b-toy, tiny"),
    ]
    assert zoo.networks() == ["features"]
    assert repo.resolve("features") == tmp_path / "features"
    with pytest.raises(ValueError, match="name must be one of a-toy, b-toy, got 'c-toy'"):
        zoo.facts("c-toy")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "nonsense",
        "a/b/c",
        "../toy",
        "user/../../etc",
        "user/repo@",
        "user/repo@../../x",
        "user/repo@/etc",
        "user/repo@a b",
        "nul\0",
        "x" * 5000,
        "http://127.0.0.1/user/repo",
        "/no/such/folder",
        ["cars-dcgan-64"],
        {},
    ],
)
def test_a_name_that_can_be_no_model_is_refused(source):
    with pytest.raises(ValueError, match=r'a model is an embedded one .*, a folder, or "user/repo'):
        genmodels.load(source)


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a b", "a@b"])
def test_a_revision_that_is_a_path_is_refused(revision):
    with pytest.raises(ValueError, match="a model is an embedded one"):
        genmodels.load("user/repo", revision=revision)


def test_a_revision_of_a_folder_is_refused_rather_than_ignored(folder):
    with pytest.raises(ValueError, match="a model is an embedded one"):
        genmodels.load(folder, revision="main")


# Hostile and broken folders.


def test_pickled_weights_are_not_read(folder, tmp_path):
    marker = tmp_path / "executed"
    # What a loader of such files would run at once.
    payload = f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()
    (folder / "generator" / modeling.WEIGHTS).unlink()
    for name in ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.pt", "model.pkl"):
        (folder / "generator" / name).write_bytes(payload)
    with pytest.raises(ValueError, match="only safetensors are read, never pickles"):
        genmodels.load(folder)
    (folder / "generator" / modeling.WEIGHTS).write_bytes(payload)
    with pytest.raises(ValueError, match=f"{modeling.WEIGHTS} is damaged or truncated"):
        genmodels.load(folder)
    assert not marker.exists()


def test_code_beside_the_weights_is_not_imported(folder, tmp_path, monkeypatch):
    marker = tmp_path / "executed"
    code = f"open({str(marker)!r}, 'w').close()\n"
    for name in ("pipeline.py", "evil_code.py", "__init__.py", "generator/evil_code.py"):
        (folder / name).write_text(code)
    monkeypatch.chdir(folder)
    genmodels.load(folder)  # The code alone is no error: many repos carry some.
    edit_json(folder / pipelines.INDEX, _module="evil_code", _name_or_path="../../x")
    genmodels.load(folder)
    edit_json(folder / pipelines.INDEX, generator=["evil_code", "Generator"])
    with pytest.raises(ValueError, match="generator must be"):
        genmodels.load(folder)
    edit_json(folder / pipelines.INDEX, _class_name="evil_code")
    with pytest.raises(ValueError, match="pipeline must be one of"):
        genmodels.load(folder)
    assert not marker.exists()
    assert "evil_code" not in sys.modules


@pytest.mark.parametrize(
    "name", ["StableDiffusionPipeline", "os.system", "../../x", "", None, 5, ["os"], {"a": 1}]
)
def test_a_pipeline_that_is_not_ours_is_refused(folder, name):
    edit_json(folder / pipelines.INDEX, _class_name=name)
    with pytest.raises(ValueError, match="pipeline must be one of AutoencoderPipeline, DCGANPipe"):
        genmodels.load(folder)


@pytest.mark.parametrize(
    "component",
    [
        ["os", "system"],
        ["../../x", "Generator"],
        ["genmodels.models.stylegan2", "Generator"],
        ["genmodels.models.dcgan", "Discriminator"],
        ["genmodels.models.dcgan"],
        "genmodels.models.dcgan.Generator",
        [None, None],
        None,
    ],
)
def test_a_component_that_the_pipeline_does_not_have_is_refused(folder, component):
    edit_json(folder / pipelines.INDEX, generator=component)
    expected = r"generator must be \['genmodels.models.dcgan', 'Generator'\] in model_index.json"
    with pytest.raises(ValueError, match=expected):
        genmodels.load(folder)


@pytest.mark.parametrize("name", ["safety_checker", "../../x", "self", "source"])
def test_an_unknown_component_or_setting_is_refused_by_name(folder, name):
    edit_json(folder / pipelines.INDEX, **{name: ["os", "system"]})
    with pytest.raises(ValueError, match=f"unknown settings \\['{name}'\\]"):
        genmodels.load(folder)


@pytest.mark.parametrize("conditions", ["x", [1], {"body": 5}, {"body": {"values": ["a"] * 9}}])
def test_conditions_that_do_not_fit_are_refused(tmp_path, conditions):
    StyleGAN2Pipeline(stylegan2.Generator(z_dim=8, w_dim=8, **TINY)).save_pretrained(tmp_path)
    edit_json(tmp_path / pipelines.INDEX, conditions=conditions)
    with pytest.raises(ValueError, match="condition"):
        genmodels.load(tmp_path)


def test_the_pipeline_of_another_family_is_refused(folder):
    with pytest.raises(ValueError, match="pipeline must be StyleGAN2Pipeline, got 'DCGANPipeline'"):
        StyleGAN2Pipeline.from_pretrained(folder)


def test_the_config_of_another_class_is_refused(folder):
    with pytest.raises(ValueError, match="must describe Discriminator, got 'Generator'"):
        dcgan.Discriminator.from_pretrained(folder, subfolder="generator")
    edit_config(folder, _class_name=["Generator"])
    with pytest.raises(ValueError, match=r"must describe Generator, got \['Generator'\]"):
        genmodels.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("resolution", 2**20, "resolution must be a power of two, 16 to 512, got 1048576"),
        ("resolution", 10**4000, "resolution must be a power of two"),
        ("resolution", "64", "resolution must be of type int, got str '64'"),
        ("resolution", True, "resolution must be of type int, got bool True"),
        ("resolution", 64.0, "resolution must be of type int, got float 64.0"),
        ("resolution", None, "resolution must be of type int, got NoneType None"),
        ("resolution", [64], r"resolution must be of type int, got list \[64\]"),
        ("z_dim", float("nan"), "z_dim must be of type int, got float nan"),
        ("z_dim", float("inf"), "z_dim must be of type int, got float inf"),
        ("z_dim", -8, "z_dim must be a whole number from 1 to 1024, got -8"),
        ("z_dim", list(range(100_000)), "z_dim must be of type int, got list"),
        ("base_channels", 10**9, "base_channels must be a whole number from 1 to 512"),
        ("max_channels", 10**9, "max_channels must be a whole number from 4 to 4096"),
        ("depth", 5, "Generator has no argument 'depth'"),
        ("self", 5, "Generator has no argument 'self'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, key, value, message):
    edit_config(folder, **{key: value})
    with pytest.raises(ValueError, match=message) as refusal:
        genmodels.load(folder)
    assert len(str(refusal.value)) < 5000


def test_large_sizes_are_refused_before_any_memory_is_taken(folder):
    # Each number is allowed; together they are half a gigabyte that the file does not hold.
    edit_config(folder, resolution=64, base_channels=512, max_channels=2048)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"weights do not fit: .* and \d+ more"):
        genmodels.load(folder)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 50_000  # KiB


def cut(shape):
    return lambda state: state.update({BIAS: torch.zeros(shape)})


def recast(dtype):
    return lambda state: state.update({BIAS: state[BIAS].to(dtype)})


def spoilt(value):
    return lambda state: state[BIAS].__setitem__(0, value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda state: state.pop(BIAS), f"missing {BIAS}"),
        (lambda state: state.update(extra=torch.zeros(1)), "unexpected extra"),
        (lambda state: state.update(renamed=state.pop(BIAS)), f"missing {BIAS}; unexpected ren"),
        (lambda state: state.clear(), r"missing trunk.* and \d+ more"),
        (cut([4]), rf"{BIAS} must be float \[3\], got float \[4\]"),
        (cut([3, 1]), rf"{BIAS} must be float \[3\], got float \[3, 1\]"),
        (cut([]), rf"{BIAS} must be float \[3\], got float \[\]"),
        (recast(torch.int64), rf"{BIAS} must be float \[3\], got I64 \[3\]"),
        (recast(torch.bool), rf"{BIAS} must be float \[3\], got BOOL \[3\]"),
        (recast(torch.complex64), rf"{BIAS} must be float \[3\], got C64 \[3\]"),
        (spoilt(torch.nan), f"weights hold NaN or infinity: {BIAS}"),
        (spoilt(-torch.inf), f"weights hold NaN or infinity: {BIAS}"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(folder, edit, message):
    edit_weights(folder, edit)
    with pytest.raises(ValueError, match=message):
        genmodels.load(folder)


def test_a_renamed_weight_is_refused_by_a_single_network_too(folder):
    edit_weights(folder, lambda state: state.update(renamed=state.pop(BIAS)))
    with pytest.raises(ValueError, match=f"missing {BIAS}; unexpected renamed"):
        dcgan.Generator.from_pretrained(folder / "generator")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_kind_of_float_is_read_as_float32(folder, dtype):
    edit_weights(folder, recast(dtype))
    assert genmodels.load(folder).generator.to_image.bias.dtype == torch.float32


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_truncated_file_is_refused(folder, kept):
    path = folder / "generator" / modeling.WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=f"{modeling.WEIGHTS} is damaged or truncated"):
        genmodels.load(folder)


def with_header(header, size=None):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + bytes(16)


@pytest.mark.parametrize(
    "content",
    [
        with_header({"x": {"dtype": "F32", "shape": [2**40, 2**20], "data_offsets": [0, 16]}}),
        with_header({"x": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 16]}}),
        with_header({"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**50]}}),
        with_header({"x": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}),
        with_header({"x": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}),
        with_header({"x": {"dtype": "O", "shape": [4], "data_offsets": [0, 16]}}),
        with_header([1, 2]),
        with_header({}, size=2**62),
        struct.pack("<Q", 10_000) + b"[" * 10_000,
        np.random.default_rng(0).bytes(5000),
    ],
)
def test_a_weights_header_that_lies_is_refused(folder, content):
    (folder / "generator" / modeling.WEIGHTS).write_bytes(content)
    with pytest.raises(ValueError, match=f"{modeling.WEIGHTS} is damaged or truncated"):
        genmodels.load(folder)


@pytest.mark.parametrize("name", [pipelines.INDEX, f"generator/{modeling.CONFIG}"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"\xff\xfe", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"a":' * 50_000, "must be JSON"),
        (b'{"resolution": ' + b"9" * 5000 + b"}", "must be JSON"),
        (b"[]", "must hold a JSON object, got list"),
        (b"null", "must hold a JSON object, got NoneType"),
        (b'{"a": "' + b" " * 2_000_000 + b'"}', "must be at most 1048576 bytes"),
    ],
)
def test_json_that_is_none_too_deep_or_too_large_is_refused(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} {message}"):
        genmodels.load(folder)


@pytest.mark.parametrize(
    "name", [pipelines.INDEX, f"generator/{modeling.CONFIG}", f"generator/{modeling.WEIGHTS}"]
)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"must hold {name.rpartition('/')[2]}"):
        genmodels.load(folder)


@pytest.mark.parametrize(
    "name", [pipelines.INDEX, f"generator/{modeling.CONFIG}", f"generator/{modeling.WEIGHTS}"]
)
def test_a_file_that_never_ends_is_not_opened(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="must hold"):
        genmodels.load(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ValueError, match="must hold"):
        genmodels.load(folder)


def test_links_are_followed_as_in_the_hubs_cache_and_dangling_ones_are_refused(folder, tmp_path):
    (folder / "generator").rename(tmp_path / "blobs")
    (folder / "generator").symlink_to(tmp_path / "blobs")
    assert genmodels.load(folder).weights_sha256 == toy().weights_sha256
    (tmp_path / "blobs").rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"must hold config\.json"):
        genmodels.load(folder)


# Secrets.

TOKEN = "hf_NOTAREALTOKEN12345"


def test_a_token_is_stripped_and_one_that_cannot_be_one_is_refused_without_being_shown():
    assert repo._clean_token(f" {TOKEN}\r\n") == TOKEN
    for token in (f"{TOKEN}\n{TOKEN}", f"{TOKEN} and more", "", "\u2019", 5, True):
        with pytest.raises(ValueError, match="token must be a Hub token") as caught:
            genmodels.load("user/repo", token=token)
        assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"Illegal header value b'Bearer {TOKEN}\\n'",
        "401 for https://somebody:secret@127.0.0.1/user/repo",
        "Bearer hf_ANOTHERTOKEN999 is no token",
        "the password is correct-horse",
    ],
)
def test_the_clients_message_is_quoted_without_secrets(text):
    told = repo._message(OSError(text), "correct-horse")
    for secret in (TOKEN, "secret@", "hf_ANOTHERTOKEN999", "correct-horse"):
        assert secret not in told
    assert "***" in told
