"""A PyTorch without a GPU: as much of it as a measurement uses, on small matrices, with a clock for each device.

FAKE_TORCH_GPUS  how many devices there are (1)
FAKE_TORCH_MS    device time of a product (0.5)
FAKE_TORCH       absent, broken, wrong, differs, memory, crash, hang, junk: what is the matter with it
"""

import os
import random
import sys
import time

__version__ = "2.9.1+fake"
_FAULT = os.environ.get("FAKE_TORCH", "")
_MS = float(os.environ.get("FAKE_TORCH_MS", "0.5"))
if _FAULT == "broken":
    raise ImportError("libcudart.so.12: cannot open shared object file")
if _FAULT == "junk":
    print("\x1b[2JWelcome to PyTorch\n{\n" + "x" * 100_000, flush=True)

bfloat16, float16, float32 = "bfloat16", "float16", "float32"
_clocks = {}
_products = 0


class Tensor:
    def __init__(self, rows):
        self.rows = rows

    @property
    def shape(self):
        return (len(self.rows), len(self.rows[0]))

    def to(self, _kind):
        return self

    def cpu(self):
        return self

    def double(self):
        return self

    def clone(self):
        return Tensor([list(row) for row in self.rows])

    def __getitem__(self, at):
        if isinstance(at, tuple):
            return Tensor([[row[column] for column in at[1]] for row in self.rows])
        return Tensor([self.rows[row] for row in at])

    def _each(self, other, act):
        return Tensor([[act(x, y) for x, y in zip(*rows)] for rows in zip(self.rows, other.rows)])

    def __sub__(self, other):
        return self._each(other, lambda x, y: x - y)

    def __truediv__(self, other):
        return self._each(other, lambda x, y: x / y)

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Tensor([[sum(x * y for x, y in zip(row, column)) for column in columns] for row in self.rows])

    def abs(self):
        return Tensor([[abs(x) for x in row] for row in self.rows])

    def clamp(self, min):
        return Tensor([[x if x > min else min for x in row] for row in self.rows])

    def max(self):
        return _Number(max(x for row in self.rows for x in row))


class _Number(float):
    def item(self):
        return float(self)


def randn(n, m, device, dtype):
    if _FAULT == "memory":
        raise RuntimeError("CUDA out of memory. Tried to allocate 64.00 MiB\nmore lines")
    return Tensor([[random.gauss(0, 1) for _ in range(m)] for _ in range(n)])


def empty(n, m, device, dtype):
    return Tensor([[0.0] * m for _ in range(n)])


def mm(a, b, out):
    global _products
    _products += 1
    if _FAULT == "crash" and _products > 20:
        os.abort()
    if _FAULT == "hang" and _products > 20:
        time.sleep(3600)
    if not hasattr(out, "made"):
        out.made = (a @ b).rows
        if _FAULT == "wrong":
            out.made[0][0] += 100
    out.rows = out.made
    if _FAULT == "differs" and _products > 20:
        out.rows = [list(row) for row in out.made]
        out.rows[-1][-1] += 1e-6
    _clocks[cuda.current] = _clocks.get(cuda.current, 0.0) + _MS


def equal(a, b):
    return a.rows == b.rows


class cuda:
    current = 0

    @staticmethod
    def is_available():
        return _FAULT != "absent"

    @staticmethod
    def device_count():
        return int(os.environ.get("FAKE_TORCH_GPUS", "1"))

    @staticmethod
    def synchronize():
        pass

    @staticmethod
    def empty_cache():
        pass

    class device:
        def __init__(self, index):
            self.index = index

        def __enter__(self):
            cuda.current = self.index

        def __exit__(self, *_):
            pass

    class Event:
        def __init__(self, enable_timing):
            self.at = None

        def record(self):
            self.at = _clocks.get(cuda.current, 0.0)

        def synchronize(self):
            pass

        def elapsed_time(self, other):
            return other.at - self.at


print("a warning of a package", file=sys.stderr)
