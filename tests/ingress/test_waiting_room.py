"""Who makes room for whom."""

from serve_app.ingress.waiting_room import Visitor, WaitingRoom


class Door:
    """A room, and who was sent away from it."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self.room = WaitingRoom(most, most_of_address)
        self.sent_away: list[str] = []

    def enter(self, name: str, address: str) -> Visitor:
        return self.room.enter(address, lambda: self.sent_away.append(name))


def test_in_a_full_room_who_has_waited_longest_goes() -> None:
    door = Door(most=2, most_of_address=2)
    for name in ("a", "b", "c", "d"):
        door.enter(name, name)
    assert door.sent_away == ["a", "b"]
    assert len(door.room) == 2


def test_an_address_that_has_its_share_makes_room_for_itself() -> None:
    door = Door(most=10, most_of_address=2)
    door.enter("first", "quiet")
    for name in ("a", "b", "c", "d"):
        door.enter(name, "loud")
    assert door.sent_away == ["a", "b"]


def test_those_whose_address_is_unknown_are_not_taken_for_one() -> None:
    door = Door(most=4, most_of_address=2)
    for name in ("a", "b", "c", "d"):
        door.enter(name, "")
    assert door.sent_away == []
    door.enter("e", "")
    assert door.sent_away == ["a"]


def test_who_has_left_is_not_sent_away() -> None:
    door = Door(most=1, most_of_address=1)
    visitor = door.enter("a", "x")
    door.room.leave(visitor)
    door.room.leave(visitor)
    door.enter("b", "x")
    assert door.sent_away == []
