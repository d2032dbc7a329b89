"""A tutor explains a mistake word by word, in the question's own direction; a teacher accepts a suggestion."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.test_accessibility import violations
from tests.browser.test_languages import direction
from tests.browser.windows import Quiz, Stack, Window

Windows = Callable[..., Window]

WATCH = """element => {
  window.pieces = [];
  new MutationObserver(() => window.pieces.push(element.textContent.length))
    .observe(element, { childList: true, subtree: true, characterData: true });
}"""


def test_a_mistake_is_explained_in_pieces_and_labelled_as_canned(
    windows: Windows, quiz: Quiz, student: dict[str, str]
) -> None:
    window = windows()
    page = window.sign_in(student, quiz)
    card = window.card(quiz, "Capital").choose("Sydney").submit().becomes("acknowledged")
    expect(card.verdict).to_have_text("Not right", timeout=20_000)

    region = card.element.locator(".tutor-region")
    expect(region).to_have_attribute("aria-live", "polite")
    text = card.element.locator(".tutor-text")
    text.evaluate(WATCH)
    with page.expect_response("**/chat") as answered:
        card.element.get_by_role("button", name="Explain my mistake").click()
    assert answered.value.headers["content-type"].startswith("text/event-stream")
    note = card.element.locator(".tutor-note")
    expect(note).to_contain_text("Hint 1 of 4.", timeout=15_000)
    expect(note).to_contain_text("Canned reply")
    expect(text).not_to_be_empty()
    assert text.locator("span").count() > 1
    lengths = page.evaluate("window.pieces")
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 1
    assert "Canberra" not in text.inner_text()
    assert direction(text) == "ltr"

    card.element.get_by_role("button", name="Explain more").click()
    expect(note).to_contain_text("Hint 2 of 4.", timeout=15_000)


def test_a_hebrew_explanation_runs_right_to_left_on_an_english_page(
    windows: Windows, quiz: Quiz, running: Stack
) -> None:
    window = windows()
    window.sign_in(running.students[1], quiz)
    card = window.card(quiz, "עברית").choose("חיפה").submit().becomes("acknowledged")
    expect(card.verdict).to_have_text("Not right", timeout=20_000)
    card.element.get_by_role("button", name="Explain my mistake").click()
    text = card.element.locator(".tutor-text")
    expect(text).to_have_attribute("lang", "he", timeout=15_000)
    assert direction(text) == "rtl"
    assert "ירושלים" not in text.inner_text()


def test_a_right_answer_needs_no_explanation(windows: Windows, quiz: Quiz, running: Stack) -> None:
    window = windows(locale="he-IL")
    window.sign_in(running.students[2], quiz)
    card = window.card(quiz, "Sun").choose("נכון").submit().becomes("acknowledged")
    expect(card.verdict).to_have_text("נכון", timeout=20_000)
    expect(card.element.get_by_test_id("tutor")).to_have_count(0)


def test_an_outage_of_the_tutor_is_said_and_can_be_tried_again(
    windows: Windows, quiz: Quiz, running: Stack
) -> None:
    window = windows(complains=True)
    page = window.sign_in(running.students[0], quiz)
    card = window.card(quiz, "Grant").write("1800").submit().becomes("acknowledged")
    expect(card.verdict).to_have_text("Not right", timeout=20_000)
    event = 'data: {"error": {"status": "UNAVAILABLE", "message": "x"}}\n\n'
    page.route(
        "**/chat",
        lambda route: route.fulfill(status=200, content_type="text/event-stream", body=event),
        times=1,
    )
    button = card.element.get_by_role("button", name="Explain my mistake")
    button.click()
    expect(card.element.locator(".tutor-note")).to_have_text("The tutor cannot be reached now. Try again.")
    expect(button).to_be_enabled()
    button.click()
    expect(card.element.locator(".tutor-note")).to_contain_text("Hint", timeout=15_000)


def test_prepared_feedback_says_that_it_is(windows: Windows, quiz: Quiz, running: Stack) -> None:
    window = windows(locale="he-IL")
    page = window.sign_in(running.students[2], quiz)
    card = window.card(quiz, "Grant").write("1800").submit().becomes("acknowledged")
    reply = {
        "text": "Read the question once more.",
        "rung": 1,
        "told": False,
        "heldBack": False,
        "language": "en",
        "dir": "ltr",
        "canned": False,
        "degraded": "budget",
        "retryAfterSeconds": 60,
    }
    events = [{"message": {"text": reply["text"]}}, {"result": reply}]
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in events)
    page.route(
        "**/chat",
        lambda route: route.fulfill(status=200, content_type="text/event-stream", body=body),
        times=1,
    )
    button = card.element.get_by_role("button", name="הסבירו לי את הטעות")
    button.click(timeout=20_000)
    note = card.element.locator(".tutor-note")
    expect(note).to_have_text("משוב מוכן מראש: התקציב של המדריך נגמר לעת עתה.")
    expect(card.element.locator(".tutor-text")).to_have_text("Read the question once more.")
    expect(card.element.locator(".tutor[data-prepared]")).to_have_count(1)
    button.click()
    expect(note).to_contain_text("רמז 1", timeout=15_000)
    expect(card.element.locator(".tutor[data-prepared]")).to_have_count(0)


def test_a_teacher_switches_the_tutor_off_and_learners_have_no_button(
    windows: Windows, quiz: Quiz, running: Stack, student: dict[str, str]
) -> None:
    teacher = windows().sign_in(running.teacher, quiz)
    switch = teacher.get_by_test_id("tutor-switch")
    box = switch.get_by_label("Learners may ask for hints and explanations")
    expect(box).to_be_checked()
    box.click()
    expect(switch.get_by_role("status")).to_contain_text("Off")
    assert running.call("get_assignment", {"assignmentId": quiz.assignment_id})["tutor"] is False

    window = windows()
    window.sign_in(student, quiz)
    card = window.card(quiz, "Capital").choose("Sydney").submit().becomes("acknowledged")
    expect(card.verdict).to_have_text("Not right", timeout=20_000)
    expect(card.element.get_by_test_id("tutor")).to_have_count(0)


def test_a_teacher_accepts_a_suggested_evaluation(windows: Windows, quiz: Quiz, running: Stack) -> None:
    student = running.students[0]
    answer = {
        "assignmentId": quiz.assignment_id,
        "questionId": quiz.questions["Sky"],
        "answer": {"text": "The air scatters blue light more than red light."},
    }
    event_id = running.call("submit_answer", answer, student)["eventId"]
    del answer["answer"]
    reply = running.call("evaluate_answer", {**answer, "eventId": event_id}, student)
    assert "canned" in reply["evaluation"]["flags"]

    window = windows()
    page = window.sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("reviews")
    panel.get_by_role("button", name="Show what waits").click()
    row = panel.locator(".review")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("Canned reply")
    row.get_by_role("button", name="Accept").click()
    expect(row.locator(".review-outcome")).to_have_text("Accepted")
    expect(panel).to_contain_text("1 decided: 100% accepted as suggested")
    path = f"users/{reply['evaluation']['studentId']}/decisions/{reply['evaluation']['evaluationId']}"
    decision = running.document(path)
    assert decision is not None
    assert decision["decision"]["stringValue"] == "accepted"


@pytest.mark.parametrize("locale", ["en-GB", "he-IL"])
def test_a_teacher_tries_a_rubric_and_sees_first_what_it_costs(
    windows: Windows, quiz: Quiz, running: Stack, locale: str
) -> None:
    about = {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sky"]}
    for number, student in enumerate(running.students[:3]):
        answer = {"text": f"The air scatters blue light more than red light. {number}"}
        running.call("submit_answer", {**about, "answer": answer}, student)
    quiz.comes_to_count(3)

    english = locale == "en-GB"
    window = windows(locale=locale, bypass_csp=True)
    page = window.sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("pilot")
    panel.locator("select").first.select_option(label="Sky")
    panel.get_by_role("button", name="Show the cost" if english else "הצגת העלות").click()
    sample = "3 of 3 recorded answers would be tried." if english else "3 מתוך 3 תשובות רשומות ייבדקו."
    expect(panel).to_contain_text(sample)
    for tile in ("pilot-estimate", "pilot-all", "pilot-left"):
        expect(panel.get_by_test_id(tile)).to_contain_text("$")
    expect(panel.locator("table")).to_have_count(0)
    spent = {each["task"] for each in running.call("get_spend", {"courseId": running.course_id})["byTask"]}
    if english:
        assert "run_pilot" not in spent, "a preview costs nothing"

    panel.get_by_role("button", name="Try it now" if english else "להריץ עכשיו").click()
    status = panel.get_by_role("status").first
    expect(status).to_have_text("Done." if english else "הסתיים.", timeout=30_000)
    criteria, answers = panel.locator("tbody").all()
    expect(criteria.locator("tr")).to_have_count(3)
    expect(answers.locator("tr")).to_have_count(3)
    expect(panel).to_contain_text("3 evaluated for" if english else "3 הוערכו בעלות של")
    assert direction(panel) == ("ltr" if english else "rtl")
    assert direction(answers.locator("[lang=en]").first) == "ltr"
    assert violations(page) == ""

    queue = running.call("list_evaluations", {"assignmentId": quiz.assignment_id})
    assert queue["rows"] == [], "what a pilot finds is a suggestion to nobody"
    panel.locator("select").last.select_option(label="5")
    expect(panel.locator("table")).to_have_count(0)


@pytest.mark.parametrize("locale", ["en-GB", "he-IL"])
def test_a_teacher_has_all_answers_evaluated_within_a_day_for_less(
    windows: Windows, quiz: Quiz, running: Stack, locale: str
) -> None:
    about = {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sky"]}
    for number, student in enumerate(running.students[:3]):
        answer = {"text": f"The air scatters blue light more than red light. {number} {locale}"}
        running.call("submit_answer", {**about, "answer": answer}, student)
    quiz.comes_to_count(3)

    english = locale == "en-GB"
    page = windows(locale=locale, bypass_csp=True).sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("evaluation-queue")
    panel.locator("select").select_option(label="Sky")
    panel.get_by_role("button", name="Show what it costs" if english else "כמה זה עולה").click()
    expect(panel).to_contain_text(
        "3 of 3 recorded answers have no evaluation yet."
        if english
        else "ל־3 מתוך 3 תשובות רשומות אין עדיין הערכה."
    )
    expect(panel).to_contain_text("In a batch, at 50% of the price." if english else "באצווה, ב־50% מהמחיר.")
    for tile in ("queue-estimate", "queue-left"):
        expect(panel.get_by_test_id(tile)).to_contain_text("$")
    expect(panel.get_by_test_id("queue-waiting")).to_contain_text("0")
    assert violations(page) == ""

    panel.get_by_role(
        "button", name="Evaluate all, within a day" if english else "להעריך את כולן, בתוך יום"
    ).click()
    expect(panel.get_by_role("status").first).to_have_text("Queued: 3." if english else "נכנסו לתור: 3.")
    expect(panel.get_by_test_id("queue-waiting")).to_contain_text("3")
    assert direction(panel) == ("ltr" if english else "rtl")

    running.wake("run_evaluation_queue")
    look = panel.get_by_role("button", name="Look again" if english else "לבדוק שוב")
    look.click()
    expect(panel.get_by_test_id("queue-batched")).to_contain_text("3")
    for _ in range(2):
        running.wake("run_evaluation_queue")
    look.click()
    for tile in ("queue-waiting", "queue-batched", "queue-given-up"):
        expect(panel.get_by_test_id(tile)).to_contain_text("0")
    assert violations(page) == ""
    rows = running.call("list_evaluations", {"assignmentId": quiz.assignment_id})["rows"]
    assert len(rows) == 3


@pytest.mark.parametrize("locale", ["en-GB", "he-IL"])
def test_a_teacher_tries_a_rubric_of_their_own(
    windows: Windows, quiz: Quiz, running: Stack, locale: str
) -> None:
    about = {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sky"]}
    running.call("submit_answer", {**about, "answer": {"text": "It scatters blue."}}, running.students[0])
    quiz.comes_to_count(1)

    english = locale == "en-GB"
    page = windows(locale=locale, bypass_csp=True).sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("pilot")
    panel.locator("select").first.select_option(label="Sky")
    draft = panel.get_by_test_id("draft")
    add = draft.get_by_role("button", name="Add a criterion" if english else "הוספת קריטריון")
    for _ in range(3):
        add.click()
    first, second, third = draft.get_by_role("group").all()
    name = "Name" if english else "שם"
    expect(third.get_by_label(name)).to_be_focused()
    second.get_by_role("button").click()
    expect(draft.get_by_role("group")).to_have_count(2)
    expect(draft.get_by_role("button", name="2").last).to_be_focused()
    show = panel.get_by_role("button", name="Show the cost" if english else "הצגת העלות")
    show.click()
    expect(panel.get_by_test_id("pilot-estimate")).to_have_count(0)  # the browser asks for names first
    first, second = draft.get_by_role("group").all()
    first.get_by_label(name).fill("Names the cause")
    first.get_by_label("What to look for" if english else "מה לחפש").fill("Scattering is named.")
    second.get_by_label(name).fill("Own words")
    second.get_by_label("Points at most" if english else "נקודות לכל היותר").fill("2")
    show.click()
    expect(panel.get_by_test_id("pilot-estimate")).to_contain_text("$")
    assert violations(page) == ""
    panel.get_by_role("button", name="Try it now" if english else "להריץ עכשיו").click()
    status = panel.get_by_role("status").first
    expect(status).to_have_text("Done." if english else "הסתיים.", timeout=30_000)
    criteria = panel.locator("tbody").first
    expect(criteria.locator("th")).to_have_text(["Names the cause", "Own words"])
    second.get_by_label(name).fill("Other words")
    expect(panel.locator("table")).to_have_count(0)  # what is shown was of another rubric


def test_nobody_is_asked_to_try_a_rubric_where_there_is_none(windows: Windows, running: Stack) -> None:
    quiz = running.assignment("::Sum:: 2 + 2 is {#4}", title="Numbers")
    page = windows().sign_in(running.teacher, quiz)
    page.get_by_test_id("reviews").wait_for()
    expect(page.get_by_test_id("pilot")).to_have_count(0)
    expect(page.get_by_test_id("evaluation-queue")).to_have_count(0)


def test_a_teacher_sees_what_the_course_spends_on_models(
    windows: Windows, quiz: Quiz, running: Stack
) -> None:
    about = {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sun"]}
    running.call("chat", about, running.students[2])
    written = {"assignmentId": quiz.assignment_id, "questionId": quiz.questions["Sky"]}
    answer = {"text": "Because the air scatters blue most."}
    event_id = running.call("submit_answer", {**written, "answer": answer}, running.students[2])["eventId"]
    running.call("evaluate_answer", {**written, "eventId": event_id}, running.students[2])
    page = windows(bypass_csp=True).sign_in(running.teacher, quiz)
    panel = page.get_by_test_id("spend")
    panel.get_by_role("button", name="Show spending").click()
    expect(panel.get_by_test_id("spend-ceiling")).to_contain_text("$")
    expect(panel.locator("tbody")).to_contain_text("chat")
    panel.get_by_role("button", name="Where it could cost less").click()
    tip = panel.get_by_test_id("advice").get_by_role("listitem").filter(has_text="evaluate_answer")
    expect(tip).to_contain_text("A smaller model would have cost less.")
    expect(tip).to_contain_text("about $0.00")
    expect(tip).to_contain_text("For whoever runs the deployment")
    assert violations(page) == ""
