"""What was used last is kept, also when many threads ask at once."""

import threading
import time
from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from sleep2vec.store.recent import Recent


@given(st.lists(st.integers(0, 7), max_size=60), st.integers(1, 5))
def test_it_makes_what_a_plain_list_of_the_last_used_does_not_hold(asked, most):
    recent, plain, made = Recent(most), OrderedDict(), []
    expected = []
    for number in asked:
        if number not in plain:
            expected.append(number)
        plain[number] = plain.pop(number, None)
        while len(plain) > most:
            plain.popitem(last=False)
        assert recent.get(str(number), lambda n=number: made.append(n) or n) == number
    assert made == expected
    assert len(recent) == len(plain)


class SlowName(str):
    """Gives other threads their turn in the middle of every look-up, where Python may give it at any time."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0)
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        time.sleep(0)
        return super().__eq__(other)


def test_many_threads_get_their_own_and_it_ends():
    recent, wrong = Recent(2), []

    def ask(seed: int) -> None:
        try:
            for turn in range(400):
                number = (seed * 7 + turn * 13) % 11
                if recent.get(SlowName(number), lambda n=number: n) != number:
                    wrong.append(number)
        except Exception as error:  # a thread's own would be lost
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(seed,), daemon=True) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert len(recent) <= 2
