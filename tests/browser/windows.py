"""Browser windows on a running stack, and the stack's back door for setting things up and looking them up."""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Route, expect

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "chromium"
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Each window else takes three processes of its own, two of which show nothing.
    "--renderer-process-limit=1",
    "--process-per-site",
)
ROOT = Path(__file__).parents[2]

QUESTIONS = """
::Capital:: What is the capital of Australia? {=Canberra#Right, since 1913. ~Sydney#The largest city. ~Perth}

::Primes:: Which of these are prime? {~%50%2 ~%50%17 ~%-50%9 ~%-50%21}

::Sun:: The Sun is a star. {TRUE}

::Grant:: In which year was Grant born? {#1822:0}

::Sum:: Two and two are {=four =4} in English.

::Match:: Match each country with its capital. {=Canada -> Ottawa =Italy -> Rome =Japan -> Tokyo}

::Sky:: Why is the sky blue? {}

::עברית:: איזו עיר היא בירת ישראל? {=ירושלים ~חיפה ~אילת}
"""

FULL_MARKS = 7.0


class Stack:
    """The running stack as its operator sees it."""

    def __init__(self, env: dict[str, str]) -> None:
        self.url = env["LECTERN_URL"]
        self.project = env["GOOGLE_CLOUD_PROJECT"]
        self.course_id = env["DEMO_COURSE_ID"]
        self._functions = f"{self.url}/{self.project}/{env['FIREBASE_REGION']}"
        self._documents = f"http://{env['FIRESTORE_EMULATOR_HOST']}/v1/projects/{self.project}/databases/(default)/documents"
        self._http = httpx.Client(timeout=30)
        self.config = self._http.get(f"{self.url}/__lectern/config.json").json()
        self.accounts = {each["role"]: each for each in reversed(self.config["accounts"])}
        self.students = [each for each in self.config["accounts"] if each["role"] == "student"]
        self.teacher = self.accounts["teacher"]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def token(self, account: dict[str, str]) -> str:
        """Sign in as *account*."""
        reply = self._http.post(
            f"http://{self.config['authHost']}/identitytoolkit.googleapis.com/v1/accounts:signInWithPassword?key=k",
            json={"email": account["email"], "password": account["password"], "returnSecureToken": True},
        )
        assert reply.status_code == 200, reply.text
        return reply.json()["idToken"]

    def call(self, name: str, body: dict[str, Any], account: dict[str, str] | None = None) -> dict[str, Any]:
        """Call a function, by default as the teacher."""
        headers = {"Authorization": f"Bearer {self.token(account or self.teacher)}"}
        reply = self._http.post(f"{self._functions}/{name}", json=body, headers=headers)
        assert reply.is_success, reply.text
        return reply.json()

    def wake(self, name: str) -> dict[str, Any]:
        """Call a function as the scheduler does, whose calls bear no token here."""
        reply = self._http.post(f"{self._functions}/{name}", headers={"x-cloudscheduler": "true"})
        assert reply.is_success, reply.text
        return reply.json()

    def assignment(self, source: str = QUESTIONS, title: str = "Quiz") -> "Quiz":
        """Import *source* (GIFT) as a new assignment of the demo course."""
        reply = self.call(
            "import_assignment",
            {"courseId": self.course_id, "title": title, "format": "gift", "source": source},
        )
        ids = {each["name"]: each["questionId"] for each in reply["questions"]}
        return Quiz(self, reply["assignmentId"], ids)

    def document(self, path: str) -> dict[str, Any] | None:
        """A document as the server sees it, past the rules; None where there is none."""
        reply = self._http.get(f"{self._documents}/{path}", headers={"Authorization": "Bearer owner"})
        return reply.json()["fields"] if reply.status_code == 200 else None


class Quiz:
    """One assignment: ids of its questions by name, and how many answers its figures count."""

    def __init__(self, stack: Stack, assignment_id: str, questions: dict[str, str]) -> None:
        self.stack = stack
        self.assignment_id = assignment_id
        self.questions = questions

    def answers_counted(self) -> int:
        """``asOf.events`` of the live document."""
        fields = self.stack.document(f"assignments/{self.assignment_id}")
        assert fields is not None
        as_of = fields.get("asOf", {}).get("mapValue", {}).get("fields", {})
        return int(as_of.get("events", {}).get("integerValue", "0"))

    def comes_to_count(self, answers: int, *, within_seconds: float = 15) -> None:
        """Wait until exactly *answers* are counted, and see that it stays so for a moment."""
        deadline = time.monotonic() + within_seconds
        while self.answers_counted() < answers and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(0.5)
        assert self.answers_counted() == answers

    def attempts_of(self, account: dict[str, str], question: str) -> int:
        """How many attempts at *question* the server has of *account*."""
        results = self.stack.call("my_results", {"assignmentId": self.assignment_id}, account)
        return next(
            (
                each["attempts"]
                for each in results["answers"]
                if each["questionId"] == self.questions[question]
            ),
            0,
        )


class Window:
    """One browser profile with a tab, and what its console complained about."""

    def __init__(self, context: BrowserContext, stack: Stack) -> None:
        self.context = context
        self.stack = stack
        self.complaints: list[str] = []
        self.submitted: list[dict[str, Any]] = []
        context.on("console", self._heard)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._sent)
        self.page = context.new_page()

    def tab(self) -> Page:
        """Another tab of the same profile."""
        return self.context.new_page()

    def sign_in(
        self, account: dict[str, str], quiz: Quiz | None = None, *, query: str = "", page: Page | None = None
    ) -> Page:
        """Open the page, at *quiz* if given, and enter by the account's demo button."""
        page = page or self.page
        page.goto(f"{self.stack.url}/{query}{f'#/a/{quiz.assignment_id}' if quiz else ''}")
        page.locator(".demo-account", has_text=account["name"]).click()
        page.locator(".stage h1").wait_for()
        return page

    def card(self, quiz: Quiz, question: str, page: Page | None = None) -> "Card":
        """A question of *quiz* on the student's page."""
        return Card((page or self.page), quiz.questions[question])

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _sent(self, request: Request) -> None:
        if request.url.endswith("/submit_answer") and request.method == "POST":
            self.submitted.append(json.loads(request.post_data or "{}"))


class Card:
    """A question's card: its controls, and what it says about the answer."""

    def __init__(self, page: Page, question_id: str) -> None:
        self.page = page
        self.element = page.locator(f'.card[data-question="{question_id}"]')
        self.state = self.element.locator(".state")
        self.verdict = self.element.get_by_test_id("verdict")

    def choose(self, *texts: str) -> "Card":
        """Tick the options with these texts."""
        for text in texts:
            self.element.locator(".choice", has_text=re.compile(rf"^\s*{re.escape(text)}\s*$")).click()
        return self

    def write(self, text: str) -> "Card":
        """Fill in the one text field."""
        self.element.locator("input, textarea").fill(text)
        return self

    def match(self, **pairs: str) -> "Card":
        """Choose for each stem."""
        for stem, choice in pairs.items():
            self.element.get_by_label(stem, exact=True).select_option(choice)
        return self

    def submit(self) -> "Card":
        """Press the button."""
        self.element.locator("button[type=submit]").click()
        return self

    def becomes(self, status: str, *, within_seconds: float = 15) -> "Card":
        """Wait until the answer is ``saving``, ``queued``, ``acknowledged`` or ``refused``."""
        expect(self.state).to_have_attribute("data-status", status, timeout=within_seconds * 1000)
        return self


@contextmanager
def handled(context: BrowserContext, pattern: str, handler: Callable[[Route], None]) -> Iterator[None]:
    """Answer requests whose address ends with *pattern* by *handler*, for the length of a block."""
    context.route(f"**/{pattern}", handler)
    try:
        yield
    finally:
        context.unroute(f"**/{pattern}", handler)


def open_window(browser: Browser, stack: Stack, **options: Any) -> Window:
    """A fresh profile; *options* are those of ``Browser.new_context``."""
    return Window(
        browser.new_context(**{"locale": "en-GB", "viewport": {"width": 1280, "height": 900}, **options}),
        stack,
    )
