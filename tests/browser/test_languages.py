"""Right to left in Hebrew, left to right in English, and each text in its own direction within."""

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.windows import Quiz, Stack, Window

Windows = Callable[..., Window]


def direction(locator: Locator) -> str:
    """The computed direction."""
    return locator.evaluate("each => getComputedStyle(each).direction")


def middle(locator: Locator) -> float:
    """Where an element's middle is, in pixels from the left."""
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2


def overflows(page: Page) -> bool:
    """Whether the page can be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


def test_a_hebrew_browser_gets_a_page_that_runs_right_to_left(
    windows: Windows, quiz: Quiz, student: dict[str, str]
) -> None:
    window = windows(locale="he-IL")
    page = window.sign_in(student, quiz)
    root = page.locator("html")

    expect(root).to_have_attribute("lang", "he")
    expect(root).to_have_attribute("dir", "rtl")
    assert direction(page.locator("main")) == "rtl"
    assert middle(page.locator(".brand")) > middle(page.locator(".languages"))
    assert middle(page.locator(".assignments")) > middle(page.locator(".sheet"))
    hebrew, english = window.card(quiz, "עברית"), window.card(quiz, "Capital")
    assert direction(hebrew.element.locator(".prompt")) == "rtl"
    assert direction(english.element.locator(".prompt")) == "ltr"
    for card in (hebrew, english):
        button, legend = card.element.locator("button[type=submit]"), card.element.locator(".legend-number")
        assert middle(button) > middle(card.element)
        assert middle(legend) > middle(card.element)
    box = hebrew.element.locator(".choice").first
    assert middle(box.locator("input")) > middle(box.locator("span"))
    box = english.element.locator(".choice").first
    assert middle(box.locator("input")) < middle(box.locator("span"))
    hebrew.choose("ירושלים").submit().becomes("acknowledged")
    expect(hebrew.state).to_contain_text("נרשם")
    expect(hebrew.verdict).to_have_text("נכון")
    assert not overflows(page)


def test_bars_grow_from_the_side_where_reading_begins(windows: Windows, quiz: Quiz, running: Stack) -> None:
    window = windows(locale="he-IL")
    page = window.sign_in(running.teacher, quiz)
    bar = page.locator(".item svg.bar").first

    assert bar.evaluate("each => getComputedStyle(each).scale") == "-1 1"
    page.get_by_role("button", name="English").click()
    assert page.locator(".item svg.bar").first.evaluate("each => getComputedStyle(each).scale") == "none"
    assert not overflows(page)


def test_the_language_switch_turns_the_page_and_keeps_what_was_entered(
    windows: Windows, quiz: Quiz, student: dict[str, str]
) -> None:
    window = windows()
    page = window.sign_in(student, quiz)
    window.card(quiz, "Sum").write("four")
    window.card(quiz, "Capital").choose("Perth").submit().becomes("acknowledged")
    assert middle(page.locator(".brand")) < middle(page.locator(".languages"))

    page.get_by_role("button", name="עברית").click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.get_by_role("button", name="עברית")).to_be_focused()
    expect(page.get_by_role("button", name="עברית")).to_have_attribute("aria-pressed", "true")
    expect(window.card(quiz, "Sum").element.locator("input")).to_have_value("four")
    expect(window.card(quiz, "Capital").state).to_contain_text("נרשם")

    page.reload()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.get_by_role("button", name="עברית")).to_have_attribute("aria-pressed", "true")


def test_a_narrow_screen_scrolls_in_one_direction_only(
    windows: Windows, quiz: Quiz, running: Stack, student: dict[str, str]
) -> None:
    for locale in ("en-GB", "he-IL"):
        for account in (student, running.teacher):
            window = windows(locale=locale, viewport={"width": 360, "height": 740})
            page = window.sign_in(account, quiz)
            assert not overflows(page), (locale, account["role"])
