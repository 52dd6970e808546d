"""Jobs that outlive the page: found by their token, in order, and ended when nobody is there."""

import threading

import pytest

from genmodels.ui.services.jobs import Line, News

STEPS = ("size 1 of 2", "size 2 of 2")


class Gate:
    """A job that goes on when the test says so."""

    def __init__(self):
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def work(self, finish):
        yield News(STEPS[0], "preview.png")
        self.begun.set()
        while not self.goes_on.wait(0.02) and not finish.is_set():
            yield None
        yield News("stopped" if finish.is_set() else "done", result="folder")


def short(finish):
    del finish
    yield News(STEPS[0])
    yield News("done", result="folder")


def refused(finish):
    del finish
    yield News(STEPS[0])
    raise ValueError("the photo is all of one colour")


def broken(finish):
    del finish
    yield News(STEPS[0])
    raise KeyError("ours")


def last(line, token):
    *_, news = line.follow(token)
    return news


def test_a_job_is_followed_to_its_result():
    line = Line()
    assert last(line, line.submit(short, 1)) == News("done", None, "folder")


def test_a_job_that_is_left_is_found_again_by_its_token_where_it_stands():
    line, gate = Line(), Gate()
    token = line.submit(gate.work, 1)
    watching = line.follow(token)
    next(watching)
    assert gate.begun.wait(10)
    watching.close()  # The page is reloaded.
    assert next(line.follow(token)) == News(STEPS[0], "preview.png")
    gate.goes_on.set()
    assert last(line, token).result == "folder"
    assert last(line, token).result == "folder"  # And once more, when it is over.


@pytest.mark.parametrize("forged", ["", "x" * 32, None, 3, ["token"], {"token": 1}])
def test_a_forged_token_is_refused_in_words(forged):
    line = Line()
    line.submit(short, 1)
    assert not line.knows(forged)
    for door in (line.result, line.finish, lambda token: next(line.follow(token))):
        with pytest.raises(ValueError, match="not known here"):
            door(forged)


def test_tokens_cannot_be_guessed():
    line = Line()
    tokens = {line.submit(short, 1) for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) >= 32 for token in tokens)


def test_who_waits_hears_the_place_and_the_time():
    line, gate = Line(), Gate()
    tokens = [line.submit(gate.work, 180), line.submit(short, 60), line.submit(short, 60)]
    assert gate.begun.wait(10)
    told = [next(line.follow(token)).words for token in tokens[1:]]
    assert told == ["Position 1, about 3 minutes.", "Position 2, about 4 minutes."]
    gate.goes_on.set()
    assert last(line, tokens[2]).result == "folder"


def test_a_full_line_refuses_in_words():
    line, gate = Line(max_waiting=1), Gate()
    first = line.submit(gate.work, 90)
    assert gate.begun.wait(10)
    second = line.submit(short, 90)
    with pytest.raises(ValueError, match="1 trainings are waiting already: try again in about"):
        line.submit(short, 90)
    gate.goes_on.set()
    assert last(line, first).result == last(line, second).result == "folder"


def test_a_job_that_nobody_follows_is_ended_and_the_next_begins():
    line, gate = Line(), Gate()
    token, other = line.submit(gate.work, 1), line.submit(short, 1)
    watched = line.follow(other)
    next(watched)
    line.grace = 0
    assert list(watched)[-1].result == "folder"
    with pytest.raises(ValueError, match="nobody was there"):
        last(line, token)


def test_a_job_that_waits_for_nobody_is_dropped_from_the_line():
    line, gate = Line(), Gate()
    watched = line.follow(line.submit(gate.work, 1))
    next(watched)
    forgotten = line.submit(short, 1)
    line.grace = 0
    line.submit(short, 1)  # Who comes next does not stand behind it.
    with pytest.raises(ValueError, match="nobody was there"):
        last(line, forgotten)
    gate.goes_on.set()
    watched.close()


def test_a_job_is_asked_to_finish_and_one_that_waits_does_not_begin():
    line, gate = Line(), Gate()
    running, waiting = line.submit(gate.work, 1), line.submit(short, 1)
    assert gate.begun.wait(10)
    line.finish(waiting)
    assert last(line, waiting) == News("Stopped before it began.")
    line.finish(running)
    assert last(line, running).words == "stopped"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_fails_costs_no_other():
    line = Line()
    with pytest.raises(ValueError, match="one colour"):
        last(line, line.submit(refused, 1))
    with pytest.raises(ValueError, match="failed"):
        last(line, line.submit(broken, 1))
    assert last(line, line.submit(short, 1)).result == "folder"


def test_who_comes_later_takes_over():
    line, gate = Line(), Gate()
    token = line.submit(gate.work, 1)
    first, second = line.follow(token), line.follow(token)
    next(first)
    assert gate.begun.wait(10)
    next(second)
    assert "Another window" in next(first).words
    assert list(first) == []
    gate.goes_on.set()
    assert list(second)[-1].result == "folder"


def test_jobs_that_are_over_are_kept_for_a_while_only():
    line = Line(max_kept=2)
    tokens = []
    for _ in range(5):
        tokens.append(line.submit(short, 1))
        last(line, tokens[-1])
    assert [line.knows(token) for token in tokens] == [False, False, True, True, True]
