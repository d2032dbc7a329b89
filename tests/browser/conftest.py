"""Headless Chromium on the whole stack."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.windows import CHROMIUM, FLAGS, Quiz, Stack, Window, open_window


@pytest.fixture(scope="module")
def running(stack: dict[str, str]) -> Iterator[Stack]:
    """The stack, seen from its back door."""
    running = Stack(stack)
    yield running
    running.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module: playwright's event loop must not outlive it, other tests have their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def quiz(running: Stack) -> Quiz:
    """An assignment that nobody has answered yet."""
    return running.assignment()


@pytest.fixture
def student(running: Stack) -> dict[str, str]:
    """A demo student."""
    return running.students[0]


@pytest.fixture
def windows(browser: Browser, running: Stack) -> Iterator[Callable[..., Window]]:
    """
    Open windows, each a profile of its own.

    At the end each must have a clean console, unless it was opened with ``complains=True``.
    """
    opened: list[tuple[Window, bool]] = []

    def open_one(*, complains: bool = False, **options: Any) -> Window:
        window = open_window(browser, running, **options)
        opened.append((window, complains))
        return window

    yield open_one
    for window, _ in opened:
        window.context.close()
    for window, complains in opened:
        if not complains:
            assert window.complaints == []


@pytest.fixture
def window(windows: Callable[..., Window]) -> Window:
    """One window."""
    return windows()
