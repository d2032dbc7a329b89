"""The reference of the functions can be read and tried in a browser."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

OPENAPI = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_every_function_is_in_the_reference(running, windows, path):
    page = windows().page
    page.goto(f"{running.url}{path}")
    operations = page.locator(".opblock")
    expect(operations).to_have_count(len(OPENAPI["paths"]))
    page.locator("#operations-answers-submit_answer").get_by_role("button").first.click()
    expect(page.get_by_role("button", name="Try it out")).to_be_visible()
