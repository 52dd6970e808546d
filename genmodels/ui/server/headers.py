"""Headers that tell a browser what the page may do, whatever text should ever get into it.

What Gradio's own page needs, and why the policy of scripts and styles is not stricter:

- four inline scripts in its index.html (the configuration, which differs from page to page, the
  mode, the iframe's resizer, the padding): each gets a nonce here, so that no other inline script
  runs;
- `new Function` for every `js=` of an event and for the templates of gr.HTML: 'unsafe-eval';
- style attributes and style elements that Svelte writes, and our own frame: 'unsafe-inline' styles;
- data: and blob: pictures and films for thumbnails and the camera, data: fonts of a theme, blob:
  workers;
- a Space is shown in an iframe by huggingface.co, which X-Frame-Options cannot say.
"""

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FRAMES = (
    "frame-ancestors 'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"
)
_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-eval' 'nonce-{nonce}'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    f"object-src 'none'; base-uri 'self'; form-action 'self'; {_FRAMES}"
)
_FILE = "default-src 'none'; style-src 'unsafe-inline'; sandbox"  # For a file opened on its own.
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin-allow-popups",
}
_SCRIPT = re.compile(rb"<script(?=[\s>])")


class SafeHeaders:
    """ASGI middleware that adds them to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI's."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        page = _Page(send)
        is_file = "/file=" in scope["path"]

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_ALWAYS)
                if is_file:
                    headers["content-security-policy"] = _FILE
                elif headers.get("content-type", "").startswith("text/html"):
                    await page.begin(message)
                    return
            await (page.go_on if page.start else send)(message)

        await self.app(scope, receive, send_safely)


class _Page:
    """An answer of HTML, held until it is whole, whose scripts get a nonce."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.start: Message | None = None
        self.body = b""

    async def begin(self, start: Message) -> None:
        self.start = start

    async def go_on(self, message: Message) -> None:
        assert self.start is not None
        self.body += message.get("body", b"")
        if message.get("more_body"):
            return
        nonce = secrets.token_urlsafe(16)
        headers = MutableHeaders(scope=self.start)
        headers["content-security-policy"] = _PAGE.format(nonce=nonce)
        headers["cache-control"] = "no-store"  # A nonce is good once.
        # Nothing from outside is in this template as it stands: Gradio escapes < in its JSON.
        body = _SCRIPT.sub(f'<script nonce="{nonce}"'.encode(), self.body)
        if "content-length" in headers and self.body:  # Not for HEAD, which sends none.
            headers["content-length"] = str(len(body))
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})
