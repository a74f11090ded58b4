"""What tests let worker processes do: in a module of its own, which a worker can import."""

import os
import time


def square(number: int) -> int:
    return number * number


def misbehave(number: int) -> int:
    if number == 3:
        time.sleep(60)
    if number == 5:
        os._exit(9)
    return number


def settings_of_worker(_: int) -> tuple[str | None, str | None]:
    return os.environ.get("TOKBENCH_TEST"), os.environ.get("OMP_NUM_THREADS")
