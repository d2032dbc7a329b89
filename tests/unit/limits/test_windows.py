"""The sliding window, exactly: 64 s, so that a slice is a second."""

from shared.limits.base import MICROSECONDS, Limit
from shared.limits.windows import Window

LIMIT = Limit("ai", "k", 3, 64)


def at(seconds):
    return int(seconds * MICROSECONDS)


def test_an_empty_window_has_everything_now():
    standing = Window().standing(LIMIT, at(5))
    assert (standing.used, standing.wait, standing.reset) == (0, 0, 0)


def test_waits_are_told_to_the_microsecond():
    window = Window()
    for seconds in (10, 20, 30):
        taken = window.take(LIMIT, at(seconds))
    assert (taken.used, taken.wait, taken.reset) == (3, 0, at(64))
    standing = window.standing(LIMIT, at(40))
    assert (standing.used, standing.wait, standing.reset) == (3, at(34), at(54))
    two = Limit("ai", "k", 3, 64, 2)
    assert window.standing(two, at(40)).wait == at(44)
    three = Limit("ai", "k", 3, 64, 3)
    assert window.standing(three, at(40)).wait == at(54)
    assert window.standing(LIMIT, at(74) - 1).wait == 1
    assert window.standing(LIMIT, at(74)).wait == 0


def test_slices_of_several_points_free_as_many():
    window = Window()
    large = Limit("ai", "k", 10, 64, 4)
    window.take(large, at(1))
    window.take(large, at(2.5))
    assert window.standing(large, at(3)).wait == at(62)
    assert window.standing(Limit("ai", "k", 10, 64, 7), at(3)).wait == at(63.5)


def test_points_within_a_slice_are_kept_together_and_no_longer():
    window = Window()
    window.take(LIMIT, at(10))
    window.take(LIMIT, at(11) - 1)
    window.take(LIMIT, at(11))
    assert [each[2] for each in window._slices] == [2, 1]
    assert window.standing(LIMIT, at(74)).used == 3
    assert window.standing(LIMIT, at(75) - 1).used == 1


def test_the_points_that_were_taken_then_are_given_back_and_no_others():
    window = Window()
    taken = [window.take(LIMIT, at(seconds)).taken for seconds in (10, 20, 20.5, 30)]
    window.give_back(1, taken[1])
    assert [each[2] for each in window._slices] == [1, 1, 1]
    window.give_back(1, taken[0])
    assert [each[2] for each in window._slices] == [1, 1]
    window.give_back(9, taken[0])
    assert window.standing(LIMIT, at(31)).used == 2
    window.give_back(9, taken[3])
    window.give_back(1, taken[2])
    assert window.standing(LIMIT, at(31)).used == 0
    assert window.is_over(64, at(31))


def test_a_window_is_over_when_its_last_point_is():
    window = Window()
    window.take(LIMIT, at(10))
    assert not window.is_over(64, at(74) - 1)
    assert window.is_over(64, at(74))
