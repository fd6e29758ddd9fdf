"""The simulated arena: rules pick right answers with perfect judges, and not with judges that guess."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.selection.drawn import Judges
from experiments.selection.simulated import arena, random_to_oracle, weighing

PERFECT = Judges(accuracy=1.0, understood=1.0, strict=1.0)
ROSTER = PERFECT.roster
VOTES, TESTS, RATINGS = "opinions, hard; votes only", "tests; votes only", "opinions, hard; ratings only"
BEHAVIOUR = "behaviour; votes only"


def test_votes_of_perfect_judges_and_tests_always_pick_a_right_answer_if_one_exists() -> None:
    found = arena(PERFECT, seed=1)
    for rule in (VOTES, TESTS, "tests, then behaviour; votes only", "all three added; votes only"):
        assert np.array_equal(found[rule], found["oracle"])


@pytest.mark.long
def test_random_votes_pick_no_better_than_chance_at_any_alpha_and_wrong_votes_pick_worse() -> None:
    guessed = random_to_oracle(replace(PERFECT, accuracy=0.5), 8)
    assert abs(np.mean(guessed[VOTES])) < 0.15
    assert abs(np.mean(guessed["opinions, hard; alpha 0.7"])) < 0.25
    (wrong,) = random_to_oracle(replace(PERFECT, accuracy=0.0), 1)[VOTES]
    assert wrong < -0.5


def test_over_both_orders_a_judge_that_sees_only_the_order_has_no_preference() -> None:
    found = arena(replace(PERFECT, first=1.0), seed=2)
    assert any(np.array_equal(found[VOTES], found[name]) for name in ROSTER) or np.array_equal(found[VOTES], found["shortest"])


def test_tests_of_a_misunderstood_task_pick_answers_with_the_same_mistake() -> None:
    found = arena(replace(PERFECT, understood=0.0, same_mistake=1.0), seed=3)
    assert found[TESTS].mean() < found["random"].mean() - 0.2


def test_ratings_alone_always_pick_the_same_competitor() -> None:
    found = arena(PERFECT, seed=1)
    assert any(np.array_equal(found[RATINGS], found[name]) for name in ("ann", "bob", "cyd"))


@pytest.mark.long
def test_writers_that_misunderstand_together_do_not_correct_each_other() -> None:
    alone, together = (random_to_oracle(Judges(understood=0.5, writers_shared=share), 2)[TESTS] for share in (0.0, 1.0))
    assert max(together) < min(alone)


def test_with_one_good_judge_among_four_that_guess_weighted_votes_go_much_further_than_equal_ones() -> None:
    found = [weighing(dict.fromkeys(ROSTER, 0.5) | {good: 0.9}, 36, seed) for good in ROSTER for seed in range(6)]
    equal, weighted = (np.mean([one[name] for one in found]) for name in ("equal", "weighted"))
    assert weighted >= 1.5 * equal > 0


def test_judges_that_are_equally_good_lose_little_by_their_exam() -> None:
    found = [weighing(dict.fromkeys(ROSTER, 0.75), 36, seed) for seed in range(6)]
    assert np.mean([one["weighted"] - one["equal"] for one in found]) > -0.1


@pytest.mark.long
def test_behaviour_picks_right_answers_if_mistakes_differ_and_is_at_chance_if_all_are_shared() -> None:
    apart, together = (replace(PERFECT, telling=0.5, common_mistake=share) for share in (0.0, 1.0))
    alone, shared = (np.mean(random_to_oracle(judges, 4)[BEHAVIOUR]) for judges in (apart, together))
    assert alone > 0.8
    assert shared < 0.3


@pytest.mark.long
def test_behaviour_says_nothing_if_no_input_tells_right_from_wrong() -> None:
    found = random_to_oracle(replace(PERFECT, telling=0.0), 4)
    assert abs(np.mean(found[BEHAVIOUR])) < 0.4
