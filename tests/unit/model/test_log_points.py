"""Places in a log are ordered by rank inside one stream, and not at all across streams."""

from frskit.model import LogPoint, LogRange


def test_rank_orders_inside_a_stream_whatever_the_names_are() -> None:
    first = LogPoint(rank=9, name="E0000009.log", stream="a")
    later = LogPoint(rank=10, name="E000000A.log", stream="a")

    assert first.before(later) is True
    assert later.before(first) is False
    assert first.before(first) is False


def test_nothing_is_before_a_place_of_another_stream() -> None:
    here = LogPoint(rank=1, stream="timeline 1")
    there = LogPoint(rank=2, stream="timeline 2")

    assert here.before(there) is None
    assert there.before(here) is None


def test_people_see_names_and_ranks_where_there_are_none() -> None:
    named = LogRange(first=LogPoint(rank=18, name="E0000012.log"), last=LogPoint(rank=19))

    assert str(named) == "E0000012.log to 19"
