"""A wish to stop."""

import threading

import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel


def test_a_thread_may_end_what_it_takes_back() -> None:
    """Unheeded in one thread for a while, and in no other."""
    cancel = Cancel()
    cancel.set()
    heard: list[BaseException] = []

    def other() -> None:
        try:
            cancel.check()
        except errors.Interrupted as error:
            heard.append(error)

    with cancel.unheeded():
        cancel.check()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(heard) == 1
    with pytest.raises(errors.Interrupted):
        cancel.check()
