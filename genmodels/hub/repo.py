"""Sources and destinations of models: embedded ones, folders, and repos on the Hub.

Only safetensors, JSON, cards and pictures are ever downloaded; no message holds a secret.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import httpx

from genmodels import zoo
from genmodels.hub.checks import quoted

DOWNLOADED = ["*.safetensors", "*.json", "*.md", "*.png"]  # Never code, never pickles.
MAX_JSON_BYTES = 1 << 20
POINTER = b"version https://git-lfs"  # First bytes of a Git LFS pointer file.


def resolve(source: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """The local folder of a model; "user/repo[@revision]" is downloaded to the Hub's cache."""
    name = _pinned(source, revision)
    if name in (*zoo.names(), *zoo.networks()):
        return zoo.FOLDER / name
    if os.path.isdir(name):  # noqa: PTH112  (Path's raises when a name is too long.)
        return Path(name)
    match = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@(\w[\w./-]*))?", name)
    if match is None or ".." in name:
        raise ValueError(
            "a model is an embedded one "
            f'({", ".join(zoo.names())}), a folder, or "user/repo[@revision]", got {quoted(name)}'
        )
    repo_id, revision = match.groups()
    token = _clean_token(token)
    # The client's error may quote the token: the message is cleaned, and the error is left out of
    # the traceback.
    try:
        folder = snapshot_download(
            repo_id, revision=revision, token=token, allow_patterns=DOWNLOADED
        )
    except LocalEntryNotFoundError as error:
        raise ConnectionError(
            f"{name} is not in the cache and the Hub cannot be reached: {_message(error, token)}"
        ) from None
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled) as error:
        raise ValueError(
            f"{name} is neither a folder nor an accessible repo: {_message(error, token)}"
        ) from None
    except (httpx.HTTPError, OSError) as error:
        raise ConnectionError(
            f"{name} could not be downloaded, try again: {_message(error, token)}"
        ) from None
    return Path(folder)


def upload(
    folder: str | Path,  # Its content becomes the repo's, in one commit.
    repo_id: str,  # "user/name"; created if it does not exist.
    *,
    private: bool = False,  # Whether a new repo is private.
    message: str = "Upload with genmodels",  # The commit's message.
    token: str | None = None,  # Default: that of `hf auth login` or HF_TOKEN.
) -> str:
    """Publish a folder and return the commit's address. Calling it again completes a broken upload.

    Errors: ValueError when the token or the name is refused, ConnectionError when the Hub or the
    way to it failed; the folder is untouched either way.
    """
    retry = f"Nothing is lost: the files are in {folder}; run the same again."
    token = _clean_token(token)
    if token is None and get_token() is None:
        raise ValueError(f"no token: run `hf auth login` or set HF_TOKEN. {retry}")
    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else None
        if status in (401, 403):
            raise ValueError(
                f"the Hub refused the token for {repo_id} ({status}): it must be valid and allowed "
                f"to write there; see `hf auth whoami`. {retry}"
            ) from None
        if status is not None and status < 500:
            raise ValueError(
                f"the Hub refused {repo_id} ({status}): {_message(error, token)}. {retry}"
            ) from None
        raise ConnectionError(f"the Hub failed ({status}). {retry}") from None
    except HFValidationError as error:
        raise ValueError(
            f'repo_id must be "user/name", got {quoted(repo_id)}: {_message(error, token)}'
        ) from None
    except (httpx.HTTPError, OSError, json.JSONDecodeError) as error:
        # JSON: a gateway's error page, where the client expects the answer to the card's check.
        raise ConnectionError(
            f"the connection to the Hub broke: {_message(error, token)}. {retry}"
        ) from None
    return commit.commit_url


def read_json(path: Path) -> dict[str, Any]:
    """The object in a small, untrusted JSON file."""
    if not path.is_file():
        raise ValueError(f"{path.parent} must hold {path.name}, which it does not")
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path} must be at most {MAX_JSON_BYTES} bytes")
    check_is_no_pointer(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: also a number of 5000 digits.
        raise ValueError(f"{path} must be JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def _pinned(source: str | Path, revision: str | None) -> str:
    """The name of a model with its revision, so that a replay finds the same one."""
    return f"{source}@{revision}" if revision else str(source)


def known_as(source: str | Path, revision: str | None) -> str:
    """The name of a model in recipes; for a local folder its name without the path."""
    name = _pinned(source, revision)
    if name not in zoo.names() and os.path.isdir(name):  # noqa: PTH112
        return Path(name).resolve().name
    return name


def _clean_token(token: str | None) -> str | None:
    """A token from a file or a form, stripped and checked; messages never quote it."""
    if token is None:
        return None
    token = token.strip() if isinstance(token, str) else token
    if not isinstance(token, str) or not re.fullmatch("[!-~]+", token):
        raise ValueError("token must be a Hub token in one piece, hf_ and letters; it is not shown")
    return token


def _message(error: Exception, token: str | None) -> str:
    """An error's message without secrets."""
    text = str(error)
    for secret in (token, get_token()):
        text = text.replace(secret, "hf_***") if secret else text
    text = re.sub(r"hf_\w{8,}", "hf_***", text)
    return re.sub(r"://[^/@\s]+@", "://***@", text)  # A user name and a password in a URL.


def check_is_no_pointer(path: Path) -> None:
    """Raise `ValueError` if a file is the pointer of a large file that Git LFS did not fetch."""
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ValueError(
                f"{path} is a Git LFS pointer instead of the file: run `git lfs pull` "
                "in its repository to fetch the file"
            )
