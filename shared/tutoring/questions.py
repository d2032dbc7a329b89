"""Questions and responses in the words in which a model gets them: what a learner sees, never a key."""

import html
import re
from typing import Any

from shared.learning.questions import Question, RichText, TextFormat
from shared.learning.responses import (
    NumberResponse,
    OptionResponse,
    OptionsResponse,
    PairsResponse,
    Response,
    TextResponse,
    TruthResponse,
)
from shared.tutoring.redaction import redacted
from shared.tutoring.rendering import plain

_MOST = 4000
_MOST_OPTION = 400
_BREAKS = re.compile(r"<\s*(?:br|/p|/div|/li|/tr|/h[1-6])\b[^>]*>", re.IGNORECASE)


def plain_text(text: RichText, most: int = _MOST) -> str:
    """*text* without its mark-up."""
    raw = text.text
    if text.format in {TextFormat.HTML, TextFormat.MOODLE}:
        raw = html.unescape(plain(_BREAKS.sub("\n", raw), 2 * most))
    return plain(raw, most).strip()


def plain_question(question: Question) -> dict[str, Any]:
    """*question* as learners see it."""
    data: dict[str, Any] = {"type": question.type.value, "text": plain_text(question.text)}
    if question.options:
        data["options"] = [plain_text(each.text, _MOST_OPTION) for each in question.options]
    if question.stems:
        data["stems"] = [plain_text(each.text, _MOST_OPTION) for each in question.stems]
        data["choices"] = [plain_text(each.text, _MOST_OPTION) for each in question.choices]
    return data


def plain_response(response: Response, question: Question) -> Any:
    """*response* in words instead of ids; personal data in free text is taken out."""
    options = {each.option_id: plain_text(each.text, _MOST_OPTION) for each in question.options}
    match response:
        case OptionResponse(option_id=option_id):
            return options.get(option_id, "")
        case OptionsResponse(option_ids=option_ids):
            return [options[each] for each in option_ids if each in options]
        case TruthResponse(value=value):
            return value
        case NumberResponse(number=number):
            return number
        case TextResponse(text=text):
            return redacted(text).text[:_MOST]
        case PairsResponse(pairs=pairs):
            stems = {each.stem_id: plain_text(each.text, _MOST_OPTION) for each in question.stems}
            choices = {each.choice_id: plain_text(each.text, _MOST_OPTION) for each in question.choices}
            return {
                stems[stem]: choices[choice]
                for stem, choice in pairs.items()
                if stem in stems and choice in choices
            }
    return None
