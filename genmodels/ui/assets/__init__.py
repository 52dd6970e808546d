"""Files of the page: its style, its icon, what it says of itself, example photos."""

from pathlib import Path

ASSETS = Path(__file__).parent
