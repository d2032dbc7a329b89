"""A prompt never changes: another wording is another version, and what is sent for known inputs is known."""

import json

import pytest

from shared.tutoring.prompting import PROMPTS, messages, prompt
from tests.unit.tutoring.golden import GOLDEN, MANIFEST, SETS, digest, rendered

KNOWN = json.loads(MANIFEST.read_text())


def test_every_prompt_file_is_in_the_manifest_and_none_is_gone():
    found = {str(path.relative_to(PROMPTS).with_suffix("")) for path in PROMPTS.rglob("*.md")}
    assert found == set(KNOWN)
    assert set(SETS) <= found


@pytest.mark.parametrize("version", sorted(KNOWN))
def test_a_prompt_and_its_golden_set_are_as_they_were_released(version):
    assert prompt(version).digest == KNOWN[version]["prompt"], "write a new version instead"
    assert digest((GOLDEN / f"{version}.json").read_text()) == KNOWN[version]["golden"]


@pytest.mark.parametrize("version", sorted(SETS))
def test_what_is_sent_for_known_inputs_is_what_was_sent_before(version):
    assert rendered(version) == (GOLDEN / f"{version}.json").read_text()


@pytest.mark.parametrize("version", sorted(SETS))
def test_what_people_wrote_is_one_json_object_in_a_message_of_its_own(version):
    for _, sent in SETS[version]():
        system, user = sent
        assert system["role"], user["role"] == ("system", "user")
        assert system["content"] == messages(version, "en", {})[0]["content"].replace(
            "in English", f"in {_language(system)}"
        )
        assert isinstance(json.loads(user["content"]), dict)
        assert "<" not in user["content"]
        assert set(system) == set(user) == {"role", "content"}


def _language(system):
    return next(each for each in ("Hebrew", "Arabic", "English") if f"in {each}" in system["content"])
