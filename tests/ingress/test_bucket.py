"""What a bucket holds, by the clock that it is given."""

from serve_app.ingress.bucket import Bucket
from serve_app.protocol.limits import Rate


def test_a_bucket_gives_what_is_there_and_fills_again_up_to_its_size() -> None:
    bucket = Bucket(Rate(per_s=2.0, burst=3))
    assert [bucket.take(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(1, 100.5), "half a second later there is one again"
    assert not bucket.take(1, 100.5)
    assert not bucket.take(4, 200.0), "never more than its size"
    assert bucket.take(3, 200.0)


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket(Rate(per_s=1000.0, burst=1))
    assert bucket.take(1, 10.0)
    assert not bucket.take(1, 10.0)
    assert not bucket.take(1, 9.0)


def test_what_is_not_there_is_owed_and_comes_by_the_second() -> None:
    bucket = Bucket(Rate(per_s=2.0, burst=3))
    assert [bucket.spend(2, 100.0) for _ in range(3)] == [0.0, 0.5, 1.5]
    assert bucket.spend(1, 101.5) == 0.5
    assert not bucket.take(1, 101.5), "and there is nothing to take until it is paid"
