"""The examples in the guide to importing are read as the guide says."""

import re
from pathlib import Path

import pytest

from tests.unit.learning.authored import answers, imported

GUIDE = (Path(__file__).parents[3] / "docs" / "import.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize(("section", "count"), [("GIFT", 1), ("CSV", 6), ("JSON", 3)])
def test_example_is_imported_whole(section, count):
    (example,) = re.findall(r"^```\w*\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)
    result = imported(example, section.lower())
    assert len(result.questions) == count
    assert result.skipped == ()


@pytest.mark.parametrize(
    "written",
    [
        each
        for each in re.findall(r"^\| .*?\|", SECTIONS["GIFT"], re.MULTILINE)
        if "{" in each and "}" in each
    ],
)
def test_each_construct_of_the_table_is_gift(written):
    for construct in re.findall(r"`([^`]*\{[^`]*\}[^`]*)`", written):
        (found,) = imported("Question " + construct).questions
        assert found.question.text.text.startswith("Question")
        assert found.question.type == "essay" or answers(found)
