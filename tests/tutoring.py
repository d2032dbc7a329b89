"""Gateways that answer what a test says, and a class with questions to be helped with."""

import json
from collections.abc import AsyncGenerator

from shared.budgets.prices import Usage, actual, worst
from shared.errors import Unavailable
from shared.gateway.base import Ask, Quote, Reply

MODEL = "gpt-6.1-terra"


def satisfying(schema) -> object:
    """The smallest value that a JSON schema allows."""
    match schema.get("type"):
        case "object":
            return {name: satisfying(each) for name, each in schema["properties"].items()}
        case "array":
            return [satisfying(schema["items"])]
        case "integer":
            return 1
        case "boolean":
            return False
    return schema.get("enum", ["text"])[0]


class FixedGateway:
    """
    Answers every ask with *text*, in pieces where it streams; without one, with what the schema asks for.

    Asks are kept in ``asks``, what was begun and ended in ``begun`` and ``ended``.
    """

    is_set_up = True

    def __init__(self, text=None, *, pieces=None, canned=False, fails=False) -> None:
        self.text, self.pieces, self.canned, self.fails = text, pieces, canned, fails
        self.asks: list[Ask] = []
        self.payers = []
        self.begun = self.ended = 0

    def _text(self, ask: Ask) -> str:
        if self.text is not None:
            return self.text
        if ask.schema is None:
            return "Think about what the question asks."
        if "criteria" in ask.schema["properties"]:
            ids = ask.schema["properties"]["criteria"]["properties"]
            criteria = {each: {"points": 1, "evidence": [], "comment": "There."} for each in ids}
            return json.dumps(
                {
                    "criteria": criteria,
                    "feedback": "A good beginning.",
                    "errorPatterns": ["mixes up terms"],
                    "confidence": 70,
                    "suspicious": False,
                }
            )
        return json.dumps(satisfying(ask.schema))

    def quote(self, ask: Ask) -> Quote:
        """By the price of a real model, as one attempt."""
        body = json.dumps(ask.messages).encode()
        return Quote(MODEL, body, worst(MODEL, len(body), ask.max_tokens))

    async def complete(self, ask: Ask, payer) -> Reply:
        self.asks.append(ask)
        self.payers.append(payer)
        if self.fails:
            raise Unavailable("the model does not answer")
        return self._reply(self._text(ask))

    async def stream(self, ask: Ask, payer) -> AsyncGenerator[str | Reply, None]:
        self.asks.append(ask)
        self.payers.append(payer)
        self.begun += 1
        try:
            if self.fails:
                raise Unavailable("the model does not answer")
            text = self._text(ask)
            for piece in self.pieces or [text[i : i + 7] for i in range(0, len(text), 7)]:
                yield piece
            yield self._reply("".join(self.pieces) if self.pieces else text)
        finally:
            self.ended += 1

    def _reply(self, text: str) -> Reply:
        return Reply(
            text=text,
            model="fixed",
            usage=Usage(10, 10),
            cached=False,
            canned=self.canned,
            finish_reason="stop",
            nanos=actual(MODEL, Usage(10, 10)),
        )


QUESTIONS = """
::Capital:: What is the capital of Australia? {=Canberra#Since 1913. ~Sydney#The largest city. ~Perth}

::Primes:: Which of these are prime? {~%50%two ~%50%seventeen ~%-50%nine ~%-50%twenty-one}

::Sun:: The Sun is a star. {TRUE}

::Grant:: In which year was Ulysses Grant born? {#1822:0}

::Word:: Which gas do plants take in? {=carbon dioxide =CO2}

::Match:: Match each country with its capital. {=Canada -> Ottawa =Italy -> Rome =Japan -> Tokyo}

::Sky:: Why is the sky blue? {}

::עברית:: איזו עיר היא בירת ישראל? {=ירושלים ~חיפה ~אילת}
"""

ANSWER = (
    "Sunlight is scattered by the molecules of the air. Blue light has a shorter wavelength and is "
    "scattered more strongly than red light, so we see blue from all sides."
)


class Class:
    """An assignment of these questions, with one learner, ann."""

    def __init__(self, app, form) -> None:
        self.app = app
        self.assignment_id = form["assignmentId"]
        self.course_id = form["courseId"]
        self.ids = {each["name"]: each["questionId"] for each in form["questions"]}
        self.questions = {each["name"]: each for each in form["questions"]}

    def option(self, question, text):
        return next(
            each["optionId"] for each in self.questions[question]["options"] if each["text"]["text"] == text
        )

    def about(self, question, **fields):
        return {"assignmentId": self.assignment_id, "questionId": self.ids[question], **fields}

    async def answers(self, question, answer, *, uid="ann", merged=True):
        accepted = await self.app.ok("submit_answer", self.about(question, answer=answer), uid=uid)
        if merged:
            await self.app.deliver()
        return accepted["eventId"]


async def a_class(app, source=QUESTIONS, form="gift", policy=None) -> Class:
    """A class over *app*."""
    return Class(app, await app.imported(source, form=form, policy=policy))
