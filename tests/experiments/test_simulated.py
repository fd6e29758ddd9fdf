"""The simulated arena: with judges that know, rules pick what is right; with judges that guess, they do not."""

from dataclasses import replace

import numpy as np

from experiments.selection.simulated import Judges, arena, of_the_way

PERFECT = Judges(accuracy=1.0, valid=1.0, strict=1.0)


def test_votes_of_judges_and_tests_that_know_pick_a_right_answer_wherever_there_is_one() -> None:
    found = arena(PERFECT, seed=1)
    for rule in ("opinions, soft; votes only", "execution; votes only", "both; votes only"):
        assert np.array_equal(found[rule], found["oracle"])


def test_votes_that_guess_pick_no_better_than_chance_and_those_that_are_always_wrong_worse() -> None:
    guessed = of_the_way(replace(PERFECT, accuracy=0.5))["opinions, soft; votes only"]
    assert abs(guessed) < 0.15
    assert of_the_way(replace(PERFECT, accuracy=0.0), 1)["opinions, soft; votes only"] < -0.5


def test_a_judge_that_goes_by_place_says_nothing_once_both_orders_count() -> None:
    found = arena(replace(PERFECT, first=1.0), seed=2)
    assert np.array_equal(found["opinions, soft; votes only"], found["shortest"])  # all tie: the shorter answer is picked


def test_ratings_alone_always_pick_the_same_competitor() -> None:
    found = arena(PERFECT, seed=3)
    assert any(np.array_equal(found["opinions, soft; ratings only"], found[name]) for name in ("ann", "bob", "cyd"))
