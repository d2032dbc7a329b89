"""A student answers, a teacher watches: the page on the whole stack."""

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.windows import FULL_MARKS, Quiz, Stack, Window

Windows = Callable[..., Window]
Account = dict[str, str]


def performance(page: Page) -> dict[str, object]:
    """What the page says about its own speed."""
    return page.evaluate("window.__monitoring.getPerformanceStats()")


def test_an_answer_is_acknowledged_at_once_and_its_result_follows(
    window: Window, quiz: Quiz, student: Account
) -> None:
    window.sign_in(student, quiz)
    card = window.card(quiz, "Capital").choose("Canberra")

    before = time.monotonic()
    card.submit().becomes("acknowledged")
    took = time.monotonic() - before

    assert took < 2
    expect(card.element.locator(".receipt")).to_be_visible()
    expect(card.verdict).to_have_text("Right")
    expect(card.element.locator(".feedback").first).to_contain_text("since 1913")
    expect(window.page.get_by_test_id("results")).to_contain_text("1 of 7")
    expect(window.page.locator(".progress-text")).to_have_text("1 of 8 answered")
    stats = performance(window.page)
    assert (stats["submitted"], stats["acknowledged"], stats["waiting"]) == (1, 1, 0)
    assert stats["acknowledgementMs"]["count"] == 1
    assert 0 < stats["acknowledgementMs"]["p95"] < 2000


def test_submitting_returns_before_anything_was_sent(window: Window, quiz: Quiz, student: Account) -> None:
    window.sign_in(student, quiz)
    card = window.card(quiz, "Sun").choose("True")
    seen = window.page.evaluate(
        """selector => {
            const card = document.querySelector(selector);
            card.querySelector('form').requestSubmit();
            return card.querySelector('.state').dataset.status;
        }""",
        f'.card[data-question="{quiz.questions["Sun"]}"]',
    )

    assert seen == "saving"
    card.becomes("acknowledged")


def test_every_type_of_question_is_answered_and_graded(window: Window, quiz: Quiz, student: Account) -> None:
    window.sign_in(student, quiz)
    window.card(quiz, "Capital").choose("Canberra").submit()
    window.card(quiz, "Primes").choose("2", "17").submit()
    window.card(quiz, "Sun").choose("True").submit()
    window.card(quiz, "Grant").write("1822").submit()
    window.card(quiz, "Sum").write("Four").submit()
    window.card(quiz, "Match").match(Canada="Ottawa", Italy="Rome", Japan="Tokyo").submit()
    window.card(quiz, "Sky").write("Rayleigh\nscattering").submit()
    window.card(quiz, "עברית").choose("ירושלים").submit()

    for name in quiz.questions:
        card = window.card(quiz, name).becomes("acknowledged")
        expect(card.verdict).to_have_text("To be graded" if name == "Sky" else "Right")
    expect(window.page.get_by_test_id("results")).to_contain_text(f"{FULL_MARKS:.0f} of {FULL_MARKS:.0f}")
    quiz.comes_to_count(8)


def test_nothing_is_sent_while_the_form_is_incomplete(window: Window, quiz: Quiz, student: Account) -> None:
    window.sign_in(student, quiz)

    for name, entered in (("Capital", None), ("Grant", "about 1800"), ("Sum", "  "), ("Match", None)):
        card = window.card(quiz, name)
        if entered is not None:
            card.write(entered)
        card.submit()
        expect(card.element.locator(".problem")).not_to_be_empty()
        expect(card.element.locator("[aria-invalid]")).to_be_focused()

    assert window.submitted == []


def test_the_teachers_window_follows_without_a_reload(windows: Windows, quiz: Quiz, running: Stack) -> None:
    teacher = windows()
    teacher.sign_in(running.teacher, quiz)
    received, processed = (teacher.page.get_by_test_id(each) for each in ("received", "processed"))
    expect(teacher.page.locator(".live .notice")).to_contain_text("No answers yet")
    pupils = [windows() for _ in running.students[:2]]
    for pupil, account in zip(pupils, running.students[:2], strict=True):
        pupil.sign_in(account, quiz)

    before = time.monotonic()
    pupils[0].card(quiz, "Capital").choose("Canberra").submit()
    expect(processed.locator("dd").first).to_have_text("1")
    visible = time.monotonic() - before
    pupils[1].card(quiz, "Capital").choose("Sydney").submit()
    expect(processed.locator("dd").first).to_have_text("2")
    expect(received.locator("dd").first).to_have_text("2")
    expect(teacher.page.get_by_test_id("pending").locator("dd").first).to_have_text("0")

    assert visible < 5
    row = teacher.page.locator(f'.item[data-question="{quiz.questions["Capital"]}"]')
    expect(row.locator(".measure .value").first).to_have_text("50%")
    expect(row.locator("svg.bar").first).to_have_attribute("aria-label", "Facility: 50%")
    for option, count in (("Canberra", "1"), ("Sydney", "1"), ("Perth", "0")):
        expect(row.locator(".distractors li", has_text=option).locator(".value")).to_have_text(count)
    expect(teacher.page.get_by_test_id("freshness")).to_contain_text("Live")
    expect(pupils[0].page.get_by_test_id("class-now")).to_contain_text("50%")
    teacher.page.locator(".as-table summary").click()
    expect(teacher.page.locator(".as-table tbody tr").first).to_contain_text("50%")


def test_the_age_of_the_figures_counts_on(
    windows: Windows, quiz: Quiz, running: Stack, student: Account
) -> None:
    running.call(
        "submit_answer",
        {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sun"], "answer": {"value": True}},
        student,
    )
    quiz.comes_to_count(1)
    teacher = windows()
    teacher.sign_in(running.teacher, quiz)
    age = teacher.page.get_by_test_id("freshness").locator("time")

    expect(age).to_contain_text("seconds ago")
    first = age.text_content()
    expect(age).not_to_have_text(first or "")


def test_gradebook_and_audit(windows: Windows, quiz: Quiz, running: Stack) -> None:
    for number, account in enumerate(running.students[:3]):
        running.call(
            "submit_answer",
            {
                "assignmentId": quiz.assignment_id,
                "questionId": quiz.questions["Grant"],
                "answer": {"number": 1822 + number},
            },
            account,
        )
    quiz.comes_to_count(3)
    teacher = windows()
    page = teacher.sign_in(running.teacher, quiz)

    page.get_by_role("button", name="Show gradebook").click()
    book = page.get_by_test_id("gradebook")
    expect(book.locator("tbody tr")).to_have_count(3)
    expect(book.locator("tbody tr", has_text="1 of 7")).to_have_count(1)
    expect(book.locator("tbody tr", has_text="0 of 7")).to_have_count(2)
    page.get_by_role("button", name="Verify the ledger").click()
    expect(page.locator(".audit-outcome")).to_contain_text("3 answers replayed: identical")


def test_a_long_gradebook_is_paged(windows: Windows, quiz: Quiz, running: Stack) -> None:
    teacher = windows()
    asked: list[dict[str, object]] = []

    def two_pages(route: Route) -> None:
        body = route.request.post_data_json
        asked.append(body)
        first = "cursor" not in body
        rows = [
            {"studentId": f"s{number}", "score": number, "maxScore": 7.0, "answered": 1, "attempts": 1}
            for number in (range(20) if first else range(20, 25))
        ]
        route.fulfill(json={"rows": rows, "nextCursor": "opaque" if first else None})

    teacher.context.route("**/get_gradebook", two_pages)
    page = teacher.sign_in(running.teacher, quiz)
    page.get_by_role("button", name="Show gradebook").click()
    page.get_by_role("button", name="Next page").click()

    book = page.get_by_test_id("gradebook")
    expect(book.locator("tbody tr")).to_have_count(5)
    expect(page.get_by_role("button", name="Next page")).to_have_count(0)
    assert [each.get("cursor") for each in asked] == [None, "opaque"]


def test_importing_shows_where_the_source_is_wrong_and_then_what_came_of_it(
    windows: Windows, quiz: Quiz, running: Stack
) -> None:
    teacher = windows(complains=True)  # the browser notes the 400
    page = teacher.sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("import")
    panel.locator("summary").click()
    panel.get_by_label("Title").fill("From the panel")
    source = panel.get_by_label("Source")
    source.fill("::Good:: One? {=1 ~2}\n\n::Bad:: Two? {=1 ~2\n\n::Third:: Three? {T}\n")
    panel.get_by_role("button", name="Import", exact=True).click()

    expect(panel).to_contain_text("Nothing was imported.")
    place = panel.locator(".place").first
    expect(place).to_contain_text("line ")
    place.click()
    expect(source).to_be_focused()
    assert source.evaluate("each => each.selectionStart") > 0

    source.fill("::Good:: One? {=1 ~2}\n\n::Third:: Three? {T}\n")
    panel.get_by_role("button", name="Import", exact=True).click()
    expect(panel).to_contain_text("2 questions imported.")
    panel.get_by_role("button", name="Open the assignment").click()
    expect(page.locator(".stage h1")).to_have_text("From the panel")
    expect(page.locator(".assignments a[aria-current=page]")).to_contain_text("From the panel")


def test_a_wrong_password_is_said_and_the_right_one_enters(
    windows: Windows, running: Stack, student: Account
) -> None:
    window = windows(complains=True)  # the browser notes the 400
    page = window.page
    page.goto(running.url)
    page.get_by_label("Email").fill(student["email"])
    page.get_by_label("Password").fill("not it")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match")

    page.get_by_label("Password").fill(student["password"])
    page.get_by_label("Password").press("Enter")
    expect(page.locator(".account")).to_contain_text(student["name"])
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_an_assignment_that_is_not_there_is_said(windows: Windows, running: Stack, student: Account) -> None:
    window = windows(complains=True)  # the browser notes the 404
    page = window.page
    page.goto(f"{running.url}/#/a/nosuchassignment")
    page.locator(".demo-account", has_text=student["name"]).click()

    expect(page.locator(".stage .notice.error")).to_contain_text("could not be loaded")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()


@pytest.mark.parametrize(
    "source",
    [
        "[html]Before <script>window.hacked = 1</script><b>bold</b>",
        '[html]<img src\\=x onerror\\="window.hacked \\= 1"><b>bold</b>',
        '[html]<svg onload\\="window.hacked \\= 1"></svg><b onclick\\="window.hacked \\= 1">bold</b>',
        '[html]<a href\\="javascript\\:window.hacked\\=1"><b>bold</b></a>',
        '[html]<iframe srcdoc\\="<script>parent.hacked\\=1</script>"></iframe><b style\\="color\\:red">bold</b>',
        "[moodle]<math><mtext></mtext><style><img src onerror\\=window.hacked\\=1></style></math><b>bold</b>",
    ],
)
def test_what_an_author_wrote_is_shown_and_never_run(
    window: Window, running: Stack, student: Account, source: str
) -> None:
    quiz = running.assignment(f"::Hostile:: {source} {{=<b>one</b> ~two}}")
    page = window.sign_in(student, quiz)
    prompt = window.card(quiz, "Hostile").element.locator(".prompt")

    expect(prompt.locator("b")).to_have_text("bold")
    expect(prompt).not_to_contain_text("hacked")
    prompt.locator("b").click()
    assert page.evaluate("window.hacked") is None
    assert (
        prompt.evaluate(
            """each => [...each.querySelectorAll('*')].flatMap((node) => [...node.attributes].map((a) => a.name))"""
        )
        == []
    )
    assert prompt.locator("script, img, svg, iframe, math, style, a").count() == 0
