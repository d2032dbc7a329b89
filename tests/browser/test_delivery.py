"""Whatever the network does, an answer reaches the server, once, and only in its own account's name."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.windows import Quiz, Stack, Window, handled

Windows = Callable[..., Window]
Account = dict[str, str]

SUBMIT = "submit_answer"


def lost(route: Route) -> None:
    """Let nothing through."""
    route.abort("connectionfailed")


def queued(page: Any) -> list[dict[str, Any]]:
    """What lies in the device's queue, of all accounts."""
    return page.evaluate(
        """() => new Promise((resolve, reject) => {
            const request = indexedDB.open('lectern-answers', 1);
            request.onerror = () => reject(request.error);
            request.onsuccess = () => {
                const all = request.result.transaction('submissions').objectStore('submissions').getAll();
                all.onsuccess = () => { request.result.close(); resolve(all.result); };
            };
        })"""
    )


def kept_for_offline(window: Window) -> None:
    """Wait until the page could be opened without a connection."""
    window.page.wait_for_function(
        """async () => {
            const kept = (await (await caches.open('lectern-page')).keys()).map((each) => new URL(each.url).pathname);
            return ['/', '/__lectern/config.json', '/assets/main-', '/assets/style-', '/assets/firestore-'].every(
                (start) => kept.some((path) => path.startsWith(start)));
        }"""
    )


def test_an_offline_answer_survives_a_reload_and_is_sent_after_reconnecting(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)  # the browser notes that it is offline
    page = window.sign_in(student, quiz)
    kept_for_offline(window)

    window.context.set_offline(True)
    window.card(quiz, "Capital").choose("Canberra").submit().becomes("queued")
    expect(page.locator(".banner")).to_contain_text("You are offline")
    expect(window.card(quiz, "Capital").state).to_contain_text("Saved on this device")
    [before] = queued(page)

    page.reload()
    card = window.card(quiz, "Capital").becomes("queued")
    expect(card.element.locator("input:checked")).to_have_count(1)
    assert quiz.answers_counted() == 0
    [after] = queued(page)
    assert (after["submissionId"], after["clientTime"]) == (before["submissionId"], before["clientTime"])

    window.context.set_offline(False)
    card.becomes("acknowledged")
    quiz.comes_to_count(1)
    assert queued(page) == []
    expect(page.locator(".banner")).to_be_hidden()


def test_answers_to_one_question_arrive_in_the_order_in_which_they_were_given(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    page = window.sign_in(student, quiz)
    window.context.set_offline(True)
    card = window.card(quiz, "Grant")
    for year in ("1800", "1810", "1822"):
        card.write(year).submit().becomes("queued")
    window.context.set_offline(False)
    card.becomes("acknowledged")
    quiz.comes_to_count(3)

    assert queued(page) == []
    sent = {each["submissionId"]: each["answer"]["number"] for each in window.submitted}
    assert list(sent.values()) == [1800, 1810, 1822]
    expect(card.verdict).to_have_text("Right")
    assert quiz.attempts_of(student, "Grant") == 3


def test_a_disk_that_is_full_makes_no_answer_go_again_and_again(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    page = window.sign_in(student, quiz)
    window.context.set_offline(True)
    card = window.card(quiz, "Capital").choose("Canberra").submit().becomes("queued")
    page.evaluate(
        """() => {
            for (const name of ['put', 'delete']) IDBObjectStore.prototype[name] = () => {
                throw new DOMException('the disk is full', 'QuotaExceededError');
            };
        }"""
    )
    window.submitted.clear()
    window.context.set_offline(False)
    card.becomes("acknowledged")
    quiz.comes_to_count(1)
    page.wait_for_timeout(1000)
    assert len(window.submitted) == 1


def test_two_tabs_share_the_queue_and_send_each_answer_once(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    first = window.sign_in(student, quiz)
    second = window.sign_in(student, quiz, page=window.tab())
    window.context.set_offline(True)
    window.card(quiz, "Capital", first).choose("Canberra").submit().becomes("queued")
    window.card(quiz, "Grant", second).write("1822").submit().becomes("queued")
    # Each tab shows what the other one keeps.
    window.card(quiz, "Grant", first).becomes("queued")
    window.card(quiz, "Capital", second).becomes("queued")
    offline = len(window.submitted)

    window.context.set_offline(False)
    for page in (first, second):
        for question in ("Capital", "Grant"):
            window.card(quiz, question, page).becomes("acknowledged")
    quiz.comes_to_count(2)

    after = [each["submissionId"] for each in window.submitted[offline:]]
    assert len(after) == len(set(after)) == 2


def test_another_account_on_the_same_device_sends_nobody_elses_answers(
    windows: Windows, quiz: Quiz, running: Stack
) -> None:
    window = windows(complains=True)
    ana, ben = running.students[:2]
    page = window.sign_in(ana, quiz)
    window.context.set_offline(True)
    window.card(quiz, "Grant").write("1822").submit().becomes("queued")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    window.context.set_offline(False)
    window.submitted.clear()
    page.locator(".demo-account", has_text=ben["name"]).click()
    window.card(quiz, "Sun").choose("True").submit().becomes("acknowledged")
    expect(window.card(quiz, "Grant").state).to_be_empty()
    quiz.comes_to_count(1)
    assert [each["questionId"] for each in window.submitted] == [quiz.questions["Sun"]]
    assert [each["questionId"] for each in queued(page)] == [quiz.questions["Grant"]]

    page.get_by_role("button", name="Sign out").click()
    page.locator(".demo-account", has_text=ana["name"]).click()
    window.card(quiz, "Grant").becomes("acknowledged")
    quiz.comes_to_count(2)
    assert quiz.attempts_of(ana, "Grant") == 1
    assert quiz.attempts_of(ben, "Grant") == 0


def test_a_lost_acknowledgement_is_asked_for_again_under_the_same_id(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    window.sign_in(student, quiz)
    cut = 0

    def reply_lost(route: Route) -> None:
        nonlocal cut
        cut += 1
        if cut > 1:
            route.continue_()
            return
        assert route.fetch().status == 202
        route.abort("connectionreset")

    with handled(window.context, SUBMIT, reply_lost):
        window.card(quiz, "Capital").choose("Canberra").submit().becomes("acknowledged")

    ids = {each["submissionId"] for each in window.submitted}
    assert len(ids) == 1
    quiz.comes_to_count(1)
    assert quiz.attempts_of(student, "Capital") == 1


def test_a_busy_server_is_given_the_time_it_asks_for(windows: Windows, quiz: Quiz, student: Account) -> None:
    window = windows(complains=True)
    window.sign_in(student, quiz)
    times: list[float] = []

    def busy_once(route: Route) -> None:
        times.append(time.monotonic())
        if len(times) > 1:
            route.continue_()
            return
        route.fulfill(
            status=429,
            headers={"Retry-After": "2"},
            content_type="application/problem+json",
            json={
                "type": "urn:lectern:problem:resource-exhausted",
                "title": "Too many requests",
                "status": 429,
            },
        )

    with handled(window.context, SUBMIT, busy_once):
        card = window.card(quiz, "Capital").choose("Canberra").submit().becomes("queued")
        expect(card.state).to_contain_text("busy")
        window.page.evaluate("window.dispatchEvent(new Event('online'))")
        card.becomes("acknowledged")

    assert len(times) == 2
    assert times[1] - times[0] >= 2
    assert window.submitted[0] == window.submitted[1]
    quiz.comes_to_count(1)


def test_what_the_server_refuses_is_not_sent_again_and_says_why(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    page = window.sign_in(student, quiz)

    def refuse(route: Route) -> None:
        route.fulfill(
            status=400,
            content_type="application/problem+json",
            json={
                "type": "urn:lectern:problem:invalid-argument",
                "title": "Invalid",
                "status": 400,
                "detail": "the attempts are used up",
            },
        )

    with handled(window.context, SUBMIT, refuse):
        card = window.card(quiz, "Capital").choose("Perth").submit().becomes("refused")
        expect(card.state).to_contain_text("the attempts are used up")
        page.reload()
        card.becomes("refused")
        assert len(window.submitted) == 1

        card.element.get_by_role("button", name="Discard").click()
        expect(card.state).to_be_empty()
        assert queued(page) == []
    card.choose("Canberra").submit().becomes("acknowledged")
    quiz.comes_to_count(1)


@pytest.mark.parametrize(
    "body", ["<h1>Welcome to the hotel</h1>", "{}", '{"eventId": "another", "receipt": "r"}']
)
def test_a_portal_that_answers_ok_to_everything_acknowledges_nothing(
    windows: Windows, quiz: Quiz, student: Account, body: str
) -> None:
    window = windows(complains=True)
    window.sign_in(student, quiz, query="?fallback=no")

    with handled(window.context, SUBMIT, lambda route: route.fulfill(status=200, body=body)):
        card = window.card(quiz, "Capital").choose("Canberra").submit().becomes("queued")
        assert quiz.answers_counted() == 0
    card.becomes("acknowledged")
    quiz.comes_to_count(1)


def test_an_answer_written_by_the_browser_itself_is_counted(
    window: Window, quiz: Quiz, student: Account
) -> None:
    window.sign_in(student, quiz, query="?transport=firestore")
    card = window.card(quiz, "Capital").choose("Canberra").submit().becomes("acknowledged")

    quiz.comes_to_count(1)
    assert window.submitted == []
    expect(card.element.locator(".receipt")).to_have_count(0)
    expect(card.verdict).to_have_text("Right")
    assert quiz.attempts_of(student, "Capital") == 1


def test_every_type_of_answer_passes_the_rules(window: Window, quiz: Quiz, student: Account) -> None:
    window.sign_in(student, quiz, query="?transport=firestore")
    window.card(quiz, "Capital").choose("Canberra").submit()
    window.card(quiz, "Primes").choose("2", "17").submit()
    window.card(quiz, "Sun").choose("True").submit()
    window.card(quiz, "Grant").write("1822").submit()
    window.card(quiz, "Sum").write("four").submit()
    window.card(quiz, "Match").match(Canada="Ottawa", Italy="Rome", Japan="Tokyo").submit()
    window.card(quiz, "Sky").write("פיזור ריילי").submit()

    for name in list(quiz.questions)[:-1]:
        window.card(quiz, name).becomes("acknowledged")
    quiz.comes_to_count(7)
    assert window.submitted == []


def test_when_functions_are_out_of_reach_the_answer_goes_through_firestore(
    windows: Windows, quiz: Quiz, student: Account
) -> None:
    window = windows(complains=True)
    window.sign_in(student, quiz)

    with handled(window.context, SUBMIT, lost):
        window.card(quiz, "Capital").choose("Canberra").submit().becomes("acknowledged")
        quiz.comes_to_count(1)

    assert len(window.submitted) == 1
    assert quiz.attempts_of(student, "Capital") == 1


def test_both_ways_together_count_once(windows: Windows, quiz: Quiz, student: Account) -> None:
    window = windows(complains=True)
    window.sign_in(student, quiz)

    def taken_and_lost(route: Route) -> None:
        assert route.fetch().status == 202
        route.abort("connectionreset")

    with handled(window.context, SUBMIT, taken_and_lost):
        window.card(quiz, "Capital").choose("Canberra").submit().becomes("acknowledged")

    quiz.comes_to_count(1)
    assert quiz.attempts_of(student, "Capital") == 1
