"""What the environment may say, and what together it may not."""

import pytest
from pydantic import ValidationError

from shared.settings import Settings

EMULATORS = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "FIREBASE_AUTH_EMULATOR_HOST")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (*EMULATORS, "K_SERVICE", "K_REVISION", "FUNCTIONS_EMULATOR", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("emulator", EMULATORS)
@pytest.mark.parametrize("cloud", ["K_SERVICE", "K_REVISION"])
def test_an_emulator_in_the_cloud_is_refused(monkeypatch, emulator, cloud):
    monkeypatch.setenv(emulator, "127.0.0.1:1")
    Settings()
    monkeypatch.setenv(cloud, "submit-answer")
    with pytest.raises(ValidationError, match="unsigned tokens"):
        Settings()
    monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "school-prod")
    with pytest.raises(ValidationError, match="unsigned tokens"):
        Settings()


def test_the_firebase_emulator_of_a_demo_project_is_not_the_cloud(monkeypatch):
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
    monkeypatch.setenv("K_SERVICE", "submit-answer")
    monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo-school")
    assert Settings().emulated


@pytest.mark.parametrize("name", ["LECTERN_RECEIPT_KEY", "LECTERN_INGEST_KEY"])
def test_a_short_key_is_refused_and_not_repeated(monkeypatch, name):
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "hunter2" not in str(caught.value.errors(include_input=False))


@pytest.mark.parametrize("name", ["LIMITER", "CACHE"])
def test_whatever_uses_redis_knows_where_it_is(monkeypatch, name):
    monkeypatch.setenv(f"LECTERN_{name}", "redis")
    with pytest.raises(ValidationError, match=f"{name.lower()} is redis, and redis_url is empty"):
        Settings()
    monkeypatch.setenv("LECTERN_REDIS_URL", "redis://127.0.0.1:1/0")
    Settings()


def test_origins_are_a_list(monkeypatch):
    monkeypatch.setenv("LECTERN_ALLOWED_ORIGINS", '["https://a.example", "https://b.example"]')
    assert Settings().allowed_origins == ("https://a.example", "https://b.example")
