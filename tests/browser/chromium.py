"""Where the browser of the tests is, or why there is none."""

import importlib.util
import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def other_page() -> str:
    """Says so if the host's page is not the one of the environment, or ""."""
    wanted = re.search(r"frontend-package==(\S+)", (Path(os.environ["COMFYUI_PATH"]) / "requirements.txt").read_text())
    installed = version("comfyui-frontend-package")
    if wanted[1] == installed:
        return ""
    return f"this ComfyUI's page is frontend {wanted[1]}, the environment has {installed} of the primary host"


def not_installed() -> str:
    """Says what has to be installed, or ""."""
    parts = [] if chromium() else ["Chromium (on Debian: apt-get install --no-install-recommends chromium)"]
    if not importlib.util.find_spec("playwright"):
        parts.append("Playwright (./dev test installs it)")
    return f"not installed: {', '.join(parts)}" if parts else ""


def missing() -> bool:
    return bool(other_page() or not_installed())
