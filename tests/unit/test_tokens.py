"""Tokens are checked with our own keys: signature, audience, issuer, times, algorithm, account."""

import time

import jwt
import pytest
from google.auth.exceptions import TransportError

from shared.errors import NotSignedIn, Unavailable
from shared.identity.firebase import FirebaseIdentity
from tests.signing import ACCOUNT, AUDIENCE, KEY, OTHER_KEY, PROJECT, CertificateServer


@pytest.fixture
def identity():
    identity = FirebaseIdentity(
        project=PROJECT,
        events_audiences=[AUDIENCE],
        events_accounts=[ACCOUNT],
        now=time.time,
    )
    identity.__dict__["_request"] = CertificateServer()
    return identity


def id_token(*, key=KEY, algorithm="RS256", kid="k1", **changes):
    now = int(time.time())
    claims = {
        "iss": f"https://securetoken.google.com/{PROJECT}",
        "aud": PROJECT,
        "sub": "ann",
        "iat": now - 10,
        "exp": now + 3600,
        "auth_time": now - 10,
        "role": "teacher",
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})


async def test_a_proper_token_is_a_principal(identity):
    principal = await identity.principal(id_token())
    assert (principal.uid, principal.role) == ("ann", "teacher")


async def test_a_role_that_is_no_text_is_none(identity):
    assert (await identity.principal(id_token(role={"admin": True}))).role == ""


NOW = int(time.time())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é" * 20,
        "x" * 100_000,
        id_token(key=OTHER_KEY),
        id_token(kid="unknown"),
        id_token(aud="other-project"),
        id_token(iss="https://securetoken.google.com/other-project"),
        id_token(iss=None),
        id_token(exp=NOW - 60),
        id_token(iat=NOW + 3600),
        id_token(sub=""),
        id_token(sub=None),
        id_token(sub="x" * 129),
        id_token(sub="ann/answers/q1"),
        id_token(sub=".."),
        id_token(sub="__ann__"),
        id_token(sub="ann\nq1"),
        id_token(sub=5),
        id_token(firebase={"sign_in_provider": "anonymous", "identities": {}}),
        jwt.encode({"sub": "ann", "aud": PROJECT}, None, algorithm="none"),
        id_token(key="x" * 64, algorithm="HS256"),
    ],
)
async def test_anything_else_is_refused(identity, token):
    with pytest.raises(NotSignedIn):
        await identity.principal(token)


def platform_token(*, key=KEY, **changes):
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "sub": "1",
        "iat": NOW - 10,
        "exp": NOW + 3600,
        "email": ACCOUNT,
        "email_verified": True,
        **changes,
    }
    return jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})


async def test_the_platforms_token_is_accepted(identity):
    await identity.check_platform(platform_token())


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        id_token(),
        platform_token(key=OTHER_KEY),
        platform_token(aud="https://elsewhere.example"),
        platform_token(email="someone@school-prod.iam.gserviceaccount.com"),
        platform_token(email_verified=False),
        platform_token(email_verified="true"),
        platform_token(exp=NOW - 60),
        platform_token(iss="https://evil.example"),
        jwt.encode({"aud": AUDIENCE, "email": ACCOUNT, "email_verified": True}, None, algorithm="none"),
    ],
)
async def test_nobody_else_wakes_event_functions(identity, token):
    with pytest.raises(NotSignedIn):
        await identity.check_platform(token)


async def test_certificates_that_cannot_be_fetched_are_an_outage_and_no_refusal(identity):
    def offline(*_arguments, **_keywords):
        raise TransportError

    identity.__dict__["_request"] = offline
    with pytest.raises(Unavailable):
        await identity.principal(id_token())


async def test_an_emulated_token_is_for_its_project_and_over_when_it_is_over():
    emulated = FirebaseIdentity(
        project="demo-x",
        events_audiences=[],
        events_accounts=[],
        emulated=True,
        now=time.time,
    )

    def token(**changes):
        claims = {
            "iss": "https://securetoken.google.com/demo-x",
            "aud": "demo-x",
            "sub": "ann",
            "iat": NOW,
            "auth_time": NOW,
            "exp": NOW + 3600,
            **changes,
        }
        return jwt.encode(claims, None, algorithm="none")

    assert (await emulated.principal(token())).uid == "ann"
    for changes in ({"aud": "demo-y"}, {"exp": NOW - 60}, {"sub": ""}, {"auth_time": "now"}):
        with pytest.raises(NotSignedIn):
            await emulated.principal(token(**changes))


async def test_without_configured_accounts_everybody_is_refused():
    closed = FirebaseIdentity(project=PROJECT, events_audiences=[], events_accounts=[], now=time.time)
    with pytest.raises(NotSignedIn):
        await closed.check_platform(platform_token())
