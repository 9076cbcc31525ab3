"""A real Chromium in front of the real server, or a line that says why there is none."""

import importlib.util
import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-quic")


@pytest.fixture(scope="session", autouse=True)  # before the server starts
def chromium():
    """The browser's path. Skips where something is missing; continuous integration fails instead."""
    wanted = re.search(r"frontend-package==(\S+)", (Path(os.environ["COMFYUI_PATH"]) / "requirements.txt").read_text())
    installed = version("comfyui-frontend-package")
    if wanted[1] != installed:
        pytest.skip(f"this ComfyUI's page is frontend {wanted[1]}, the environment has {installed} of the primary host")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    missing = [] if found else ["Chromium (on Debian: apt-get install --no-install-recommends chromium)"]
    if not importlib.util.find_spec("playwright"):
        missing.append("Playwright (./dev test installs it)")
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"not installed: {', '.join(missing)}")
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    arguments = ["--disable-gpu", "--no-sandbox", *(f"--{name}" for name in QUIET)]  # root has no sandbox
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def pictures_wanted(request):
    return request.config.getoption("--pictures")
