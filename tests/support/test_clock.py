import threading
import time
from datetime import UTC, datetime, timedelta


def test_clock_stands_still_until_it_is_moved(clock):
    began = clock.now
    threading.Event().wait(0.01)
    assert datetime.now(UTC) == began
    assert clock.forward(minutes=5, seconds=1) == began + timedelta(seconds=301)

    clock.to(datetime(2030, 1, 2, tzinfo=UTC))
    assert time.time() == datetime(2030, 1, 2, tzinfo=UTC).timestamp()


def test_clock_moves_for_threads_too(clock):
    clock.forward(days=400)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(datetime.now(UTC)))
    thread.start()
    thread.join()
    assert seen == [clock.now]
