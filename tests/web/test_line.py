from threading import Event, Thread, current_thread, get_ident

import pytest

from hms_search.web.line import MainThreadLine


def test_calls_of_other_threads_run_in_the_working_thread_in_their_order() -> None:
    line = MainThreadLine()
    seen: list[tuple[int, int]] = []

    def ask() -> None:
        futures = [line.submit(lambda number: seen.append((number, get_ident())), number) for number in range(5)]
        for future in futures:
            future.result(timeout=10)

    asking = Thread(target=ask)
    asking.start()
    line.work_while(asking)
    assert seen == [(number, get_ident()) for number in range(5)]


def test_an_error_reaches_who_waits_for_the_call_and_the_line_goes_on() -> None:
    line = MainThreadLine()
    answers: list[object] = []

    def ask() -> None:
        broken, whole = line.submit(lambda: 1 // 0), line.submit(lambda: current_thread().name)
        with pytest.raises(ZeroDivisionError):
            broken.result(timeout=10)
        answers.append(whole.result(timeout=10))

    asking = Thread(target=ask)
    asking.start()
    line.work_while(asking)
    assert answers == [current_thread().name]


def test_whenever_the_line_runs_empty_it_says_so_once() -> None:
    line = MainThreadLine()
    happened: list[str] = []
    idle = Event()

    def ask() -> None:
        for number in range(2):
            idle.clear()
            line.submit(happened.append, f"call {number}")
            idle.wait(timeout=10)

    def rest() -> None:
        happened.append("idle")
        idle.set()

    asking = Thread(target=ask)
    asking.start()
    line.work_while(asking, on_idle=rest)
    assert happened == ["call 0", "idle", "call 1", "idle"]
