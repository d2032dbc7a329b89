"""Revoked sessions and closed accounts: heard of within a minute, and at once where it matters."""

import asyncio

import pytest

from shared.errors import NotSignedIn, Unavailable
from shared.identity.accounts import Account, Accounts

ANN = {"signed_in_at": 1000.0, "issued_at": 1000.0}


class Directory:
    """Accounts in a table, and who was asked for."""

    def __init__(self):
        self.accounts = {}
        self.asked = []
        self.down = False

    def look_up(self, uids):
        self.asked.append(list(uids))
        if self.down:
            raise Unavailable("down")
        return {uid: self.accounts[uid] for uid in uids if uid in self.accounts}


class Clock:
    """Unix seconds, turned by hand."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def directory():
    directory = Directory()
    directory.accounts["ann"] = Account(valid_since=1000.0)
    return directory


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def accounts(directory, clock):
    return Accounts(directory, now=clock)


async def settled():
    """Let lookups in the background end."""
    await asyncio.sleep(0.05)


class TestUsualFunctions:
    async def test_a_token_just_issued_is_proof_enough(self, accounts, directory, clock):
        clock.now = 1030.0
        await accounts.check("ann", **ANN, at_once=False)
        await settled()
        assert directory.asked == []

    async def test_after_half_a_minute_it_asks_meanwhile_and_after_a_minute_it_waits(
        self, accounts, directory, clock
    ):
        directory.accounts["ann"] = Account(valid_since=1031.0)
        clock.now = 1031.0
        await accounts.check("ann", **ANN, at_once=False)  # not waited for
        assert directory.asked == []
        await settled()
        assert directory.asked == [["ann"]]
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)

        directory.accounts["ben"] = Account(valid_since=1050.0)
        clock.now = 1060.5
        with pytest.raises(NotSignedIn):
            await accounts.check("ben", **ANN, at_once=False)

    @pytest.mark.parametrize("second", range(0, 200, 7))
    async def test_nobody_is_let_in_more_than_a_minute_after_a_revocation(
        self, accounts, directory, clock, second
    ):
        for now in range(1000, 1000 + second, 10):
            clock.now = float(now)
            await accounts.check("ann", **ANN, at_once=False)
            await asyncio.sleep(0.015)
        directory.accounts["ann"] = Account(valid_since=1000.5 + second)
        clock.now = 1000.0 + second + 60.5
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)

    async def test_who_signs_in_again_is_let_in(self, accounts, directory, clock):
        directory.accounts["ann"] = Account(valid_since=1050.0)
        clock.now = 1100.0
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)
        await accounts.check("ann", signed_in_at=1100.0, issued_at=1100.0, at_once=False)

    @pytest.mark.parametrize("account", [None, Account(valid_since=0.0, disabled=True)])
    async def test_deleted_and_disabled_accounts_are_refused(self, accounts, directory, clock, account):
        directory.accounts.pop("ann")
        if account is not None:
            directory.accounts["ann"] = account
        clock.now = 1070.0
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)

    async def test_an_account_that_was_opened_again_is_let_in_with_its_new_token(
        self, accounts, directory, clock
    ):
        directory.accounts["ann"] = Account(valid_since=0.0, disabled=True)
        clock.now = 1070.0
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)
        directory.accounts["ann"] = Account(valid_since=0.0)
        clock.now = 1080.0
        await accounts.check("ann", signed_in_at=1000.0, issued_at=1079.0, at_once=False)

    async def test_many_share_a_question_of_a_hundred_at_most(self, accounts, directory, clock):
        clock.now = 1100.0
        for number in range(250):
            directory.accounts[f"s{number}"] = Account(valid_since=0.0)
        await asyncio.gather(*(accounts.check(f"s{n}", **ANN, at_once=False) for n in range(250)))
        assert [len(each) for each in directory.asked] == [100, 100, 50]

    async def test_when_auth_is_down_the_signature_counts_and_auth_is_left_alone(
        self, accounts, directory, clock
    ):
        directory.down = True
        clock.now = 1100.0
        for _ in range(20):
            await accounts.check("ann", **ANN, at_once=False)
        assert len(directory.asked) == 1
        clock.now = 1106.0
        directory.down = False
        directory.accounts["ann"] = Account(valid_since=1050.0)
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)

    async def test_what_was_known_counts_while_auth_is_down(self, accounts, directory, clock):
        directory.accounts["ann"] = Account(valid_since=1050.0)
        clock.now = 1100.0
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)
        directory.down = True
        clock.now = 1300.0
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=False)


class TestSensitiveFunctions:
    async def test_they_ask_each_time(self, accounts, directory):
        await accounts.check("ann", **ANN, at_once=True)
        directory.accounts["ann"] = Account(valid_since=1000.5)
        with pytest.raises(NotSignedIn):
            await accounts.check("ann", **ANN, at_once=True)
        assert len(directory.asked) == 2

    async def test_they_refuse_when_auth_is_down(self, accounts, directory):
        await accounts.check("ann", **ANN, at_once=True)
        directory.down = True
        with pytest.raises(Unavailable):
            await accounts.check("ann", **ANN, at_once=True)


async def test_it_remembers_fifty_thousand_accounts_at_most(accounts, directory, clock, monkeypatch):
    monkeypatch.setattr("shared.identity.accounts._KEPT", 3)
    clock.now = 1100.0
    for number in range(5):
        directory.accounts[f"s{number}"] = Account(valid_since=0.0)
        await accounts.check(f"s{number}", **ANN, at_once=False)
    await accounts.check("s4", **ANN, at_once=False)
    assert len(directory.asked) == 5
    await accounts.check("s0", **ANN, at_once=False)
    assert len(directory.asked) == 6
