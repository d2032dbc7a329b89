"""Recognises texts that speak to the model instead of answering: a flag for people, never a gate."""

import base64
import binascii
import re

from shared.learning.plain_text import folded

_PHRASES = re.compile(
    r"""(?x)
    \b(?:ignore|disregard|forget|override|bypass|skip|discard)\b.{0,40}
      \b(?:instructions?|prompt|rubric|rules?|above|previous|prior|guidelines|criteria|everything|system)\b
    | \b(?:system|developer|hidden|initial|secret|original)\s*(?:prompt|message|instructions?|note)\b
    | \b(?:you\s+are\s+(?:now|no\s+longer)|act\s+as|pretend\s+(?:to|you)|role-?\s?play|from\s+now\s+on
        |new\s+instructions?|new\s+task|(?:developer|admin(?:istrator)?|debug|god|dan)\s+mode
        |jailbreak|do\s+anything\s+now)\b
    | \b(?:give|award|assign|grant|grade|mark|score|rate|set|return|output|respond)\b.{0,40}
      \b(?:full|maximum|max|perfect|highest|top|all|100|10/10|a\+|every|most)\b.{0,20}
      \b(?:points?|marks?|score|grade|credit|rating|criteri(?:a|on)|confidence)\b
    | \b(?:full|maximum|max|perfect|highest|top|all\s+the)\s+(?:points?|marks?|score|grade|credit|rating)\b
    | \b(?:confidence|points|score|grade|max_?points|credit)["']?
      \s*(?:[:=]|must\s+be|should\s+be|to)\s*["']?\d
    | \b(?:reveal|print|show|repeat|tell|leak|output|disclose|send|list|dump|display|summari[sz]e|translate)\b
      .{0,40}\b(?:prompt|instructions?|answer\s+key|correct\s+(?:answer|option)|solution|rubric|api\s+key
        |secret|password|other\s+students?|context)\b
    | \b(?:note|message|attention|notice|memo|instruction|order|request)\s+(?:to|for|from)\s+(?:the\s+)?
      (?:ai|grader|model|assistant|teacher|llm|evaluator|marker|system|developer|administrator|admin|openai)\b
    | \b(?:as\s+an?\s+ai|language\s+model|chatgpt|gpt-?\d|openai)\b
    | \b(?:assistant|system|developer|user|grader)\s*:
    | \b(?:teacher|professor|instructor|admin|administrator|principal|dean|developer|school)\b.{0,40}
      \b(?:approved|authori[sz]ed|confirmed|said|says|agreed|allowed|instructed|wants)\b
    | \b(?:end|begin|start|stop)\s+(?:of\s+)?
      (?:answer|student|data|prompt|instructions?|document|submission|input|text|rubric)\b
    | \b(?:call|use|invoke|run|execute|fetch|visit|open|browse)\b.{0,30}
      \b(?:tool|function|url|http|link|code|command|python|shell|curl)\b
    | \b(?:i\s+will|i'll|please|or)\b.{0,60}
      \b(?:lose|fired|die|kill|suicide|dying|expelled|grandmother|beg\s+you|tip\s+you)\b
    """,
    re.DOTALL,
)
_HEBREW = re.compile(
    r"התעל[מם]|תתעל[מם]|שכח את|תשכח|הוראות (?:קודמות|המערכת|חדשות|הקודמות)|הנחיות (?:קודמות|המערכת|הקודמות)"
    r"|(?:תנ|תן|תני|הענק|תעניק|העניקו|קבע|רשו[מם]|החזר).{0,30}(?:ציו[נן]|נקודות|ניקוד).{0,20}(?:מלא|מלאות|מקסימלי|מרבי|מושל[מם]|100|גבוה)"
    r"|(?:ציו[נן]|ניקוד) (?:מלא|מקסימלי|מרבי|מושל[מם]|100)|מלוא הנקודות|כל הנקודות"
    r"|אתה (?:עכשיו|כעת|כבר לא)|מעכשיו אתה|העמד פני[מם]|שחק תפקיד|מצב מפתח|מצב מנהל"
    r"|(?:חשו[פף]|הצג|הדפס|גלה|ספר|תגיד|הראה).{0,30}(?:הנחיות|הוראות|התשובה הנכונה|מחוו[נן]|פרומפט|מפתח)"
    r"|הודעה (?:למערכת|לבודק|למודל|לבינה)|בינה מלאכותית|מודל שפה"
    r"|המורה (?:אישר|אמר|הורתה|אישרה)|סו[פף] (?:התשובה|תשובת)"
)
_MARKS = re.compile(
    r"<\|?/?(?:im_start|im_end|system|assistant|user|endoftext|sys|inst|instructions?|prompt|tool_call|function)\b"
    r"|\[/?(?:INST|SYS|SYSTEM|ADMIN)\]|^[^\S\n]*#{2,}\s*(?:system|instruction|new task|response|assistant)"
    r"|\"role\"\s*:\s*\"(?:system|assistant|developer|tool)\"|\"criteri(?:a|onId)\"\s*:|<!--|```\s*(?:json|system)"
    r"|!\[[^\]]*\]\(|<(?:script|img|iframe|svg|a)\b|javascript:|https?://[^\s?]{1,300}\?[^\s=]{1,300}=",
    re.IGNORECASE | re.MULTILINE,
)
_HIDDEN = re.compile("[\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\u00ad\u180e]")
_ENCODED = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")
_SPACED = re.compile(r"(?:\b\w[ .\-_*]){8,}\w\b")
_LEET = str.maketrans("013457@$!|", "oieastasil")
_LOOKALIKE = str.maketrans("аеорсухіѕԁɡһјӏԝɩ", "aeopcyxisdghjlwi")


def suspicious(text: str) -> bool:
    """
    Whether *text* holds what instructions to a model look like, in English or Hebrew.

    Made for recall: an honest answer about, say, prompts may be flagged too, and loses nothing by it
    but the confidence that is shown to its teacher.
    """
    if _MARKS.search(text) or _HIDDEN.search(text):
        return True
    words = folded(text)
    forms = [words, words.translate(_LOOKALIKE), words.translate(_LEET)]
    if _SPACED.search(words):
        forms.append(_SPACED.sub(lambda run: re.sub(r"[ .\-_*]", "", run.group()), words))
        forms.append(re.sub(r"[.\-_*]+", " ", words.replace(" ", "")))
    forms.append(words[::-1])
    for encoded in _ENCODED.findall(text)[:5]:
        try:
            decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True).decode()
        except (binascii.Error, ValueError):
            continue
        forms.append(folded(decoded))
    return any(_PHRASES.search(form) or _HEBREW.search(form) for form in forms)
