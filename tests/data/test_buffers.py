"""Memory that is used again: never while somebody can still see it."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sleep2vec.data.buffers import Buffers

LARGE = (3, 1 << 18)  # 3 MB of float32


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["array", "cut", "tensor", "slice", "numpy", "view"]), st.booleans()), max_size=14
    )
)
def test_whoever_holds_any_part_keeps_its_numbers(plan):
    """Random orders of asking, keeping (the array, a tensor of it, slices and views of either) and dropping."""
    buffers, held = Buffers(), []
    for number, (kind, drops) in enumerate(plan):
        array = buffers.empty((2 + number % 2, *LARGE[1:]), np.float32)
        array[:] = number
        tensor = torch.from_numpy(array)
        part = {
            "array": lambda array=array: array,
            "cut": lambda array=array: array[1:, ::7],
            "tensor": lambda tensor=tensor: tensor,
            "slice": lambda tensor=tensor: tensor[1:],
            "numpy": lambda tensor=tensor: tensor[0].numpy()[5:],
            "view": lambda tensor=tensor: tensor.view(-1).reshape(-1, 4).T,
        }[kind]()
        held.append((number, part))
        del array, tensor, part
        if drops:
            held.pop(len(held) // 2)
        for kept, seen in held:
            assert bool((seen == kept).all())


def test_dropped_memory_is_used_again():
    """The address is the judge; a bigger need gets memory of its own, a smaller one down to half is served."""
    buffers = Buffers()
    tensor = torch.from_numpy(buffers.empty(LARGE, np.float32))
    address = tensor.data_ptr()
    part = tensor[1]
    del tensor
    assert buffers.empty(LARGE, np.float32).ctypes.data != address
    del part
    gc.collect()
    both = [buffers.empty((2, *LARGE[1:]), np.int32) for _ in range(2)]
    assert address in {array.ctypes.data for array in both}
    del both
    larger = buffers.empty((4, *LARGE[1:]), np.float32)
    assert larger.ctypes.data != address


def test_threads_never_share():
    buffers = Buffers()

    def work(number):
        wrong = 0
        for _ in range(30):
            array = buffers.empty(LARGE, np.int32)
            array[:, ::4096] = number
            wrong += int((array[:, ::4096] != number).sum())
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 0
    assert len(buffers._free) <= 16
