"""How the page is served: what stands around Gradio's own app, for `launch(app_kwargs=...)`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi.exceptions import RequestValidationError
from gradio.blocks import Blocks
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from genmodels.ui.server import messages, work_folder
from genmodels.ui.server.headers import SafeHeaders
from genmodels.ui.server.health import Health
from genmodels.ui.server.requests import CheckedRequests

SWEEP_SECONDS = 60.0


def app_kwargs(page: Blocks) -> dict[str, Any]:
    """The arguments of the FastAPI app that Gradio makes."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(_sweep(page))
        yield
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping

    return {
        "lifespan": lifespan,
        "middleware": [Middleware(SafeHeaders), Middleware(CheckedRequests)],
        "routes": [Route("/healthz", Health().answer)],
        "exception_handlers": {RequestValidationError: _misfit, 500: _fault},
    }


async def _sweep(page: Blocks) -> None:
    """Keep the work folder within its limits."""
    while True:
        cached = {file for block in page.blocks.values() for file in block.keep_in_cache}
        await asyncio.to_thread(work_folder.sweep, cached)
        await asyncio.to_thread(_forget, page)
        await asyncio.sleep(SWEEP_SECONDS)


def _forget(page: Blocks) -> None:
    """What Gradio remembers of files that are gone."""
    for files in page.temp_file_sets:
        files -= {file for file in files.copy() if not work_folder.is_there(file)}


async def _misfit(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI finds wrong with a body, without the body."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": messages.plain(f"{where}: {first['msg']}")}, 400)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    """Our fault; the log has it."""
    return JSONResponse({"detail": messages.FAULT}, 500)
