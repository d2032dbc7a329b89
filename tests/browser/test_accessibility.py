"""WCAG A and AA as far as a machine can tell, and the whole journey from the keyboard."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.windows import ROOT, Quiz, Stack, Window

Windows = Callable[..., Window]
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page: Page) -> str:
    """What axe objects to, as readable lines; empty is good."""
    page.add_script_tag(path=AXE)
    found: list[dict[str, Any]] = page.evaluate(
        "async (tags) => (await axe.run(document, {runOnly: tags})).violations", TAGS
    )
    return "\n".join(
        json.dumps(
            [each["id"], each["help"], [node["html"][:160] for node in each["nodes"]][:4]], ensure_ascii=False
        )
        for each in found
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "he-IL"])
def test_no_view_has_a_violation(
    windows: Windows, quiz: Quiz, running: Stack, student: dict[str, str], scheme: str, locale: str
) -> None:
    look = {"locale": locale, "color_scheme": scheme, "bypass_csp": True, "reduced_motion": "reduce"}
    entrance = windows(**look)
    entrance.page.goto(running.url)
    entrance.page.locator(".demo-account").first.wait_for()
    assert violations(entrance.page) == ""

    pupil = windows(**look)
    pupil.sign_in(student, quiz)
    pupil.card(quiz, "Capital").choose("Perth").submit().becomes("acknowledged")
    pupil.card(quiz, "Sum").submit()
    pupil.card(quiz, "Capital").verdict.wait_for()
    assert violations(pupil.page) == ""

    teacher = windows(**look)
    page = teacher.sign_in(running.teacher, quiz)
    expect(page.get_by_test_id("processed").locator("dd").first).to_have_text("1")
    page.get_by_test_id("import").locator("summary").click()
    page.locator(".as-table summary").click()
    page.get_by_test_id("gradebook").locator("button").click()
    page.get_by_test_id("gradebook").locator("table").wait_for()
    assert violations(page) == ""


def test_the_journey_needs_no_mouse(
    window: Window, quiz: Quiz, running: Stack, student: dict[str, str]
) -> None:
    page = window.page
    page.goto(f"{running.url}/#/a/{quiz.assignment_id}")
    page.locator(".demo-account").first.wait_for()
    keyboard = page.keyboard

    page.get_by_label("Email").focus()
    keyboard.type(student["email"])
    keyboard.press("Tab")
    keyboard.type(student["password"])
    keyboard.press("Enter")
    page.locator(".stage h1").wait_for()

    def tab_until(what: str) -> None:
        for _ in range(400):  # past the list of assignments, which other tests lengthen
            keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement?.matches(selector) ?? false", what):
                return
        message = f"Tab does not reach {what}"
        raise AssertionError(message)

    card = f'[data-question="{quiz.questions["Capital"]}"]'
    tab_until(f"{card} input")
    keyboard.press("Space")
    keyboard.press("ArrowDown")
    tab_until(f"{card} button")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    keyboard.press("Enter")
    window.card(quiz, "Capital").becomes("acknowledged")
    expect(page.locator(f"{card} input:checked")).to_have_count(1)


def test_the_skip_link_leads_past_the_header(window: Window, quiz: Quiz, student: dict[str, str]) -> None:
    page = window.sign_in(student, quiz)
    page.reload()
    page.locator(".stage h1").wait_for()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()
    assert quiz.assignment_id in page.url
