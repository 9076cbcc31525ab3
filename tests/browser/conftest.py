"""A real Chromium in front of the real server, or a line that says why there is none."""

import os

import pytest

from pack.tests.browser import chromium as found

QUIET = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync", "disable-quic")


@pytest.fixture(scope="session", autouse=True)  # before the server starts
def chromium():
    """The browser's path. Skips where something is missing; continuous integration fails instead."""
    if found.other_page():
        pytest.skip(found.other_page())
    if found.not_installed():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(found.not_installed())
    return found.chromium()


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
