from hypothesis import given
from hypothesis import strategies as st

from warrior_dagster.config.serving import Endpoint, Sampling, VllmServer
from warrior_dagster.inference.request import Request, ServedModel, params

MODEL = ServedModel("org/m@main", "org/m", None, VllmServer())
prompts = st.text(st.characters(codec="utf-8"), max_size=20)


@given(prompt=prompts, count=st.integers(1, 5))
def test_the_number_of_samples_in_a_request_does_not_change_their_keys(prompt: str, count: int) -> None:
    together = Request(MODEL, prompt, "{}", tuple(range(count))).keys()
    assert together == [Request(MODEL, prompt, "{}", (n,)).keys()[0] for n in range(count)]
    assert len(set(together)) == count


@given(a=st.tuples(prompts, prompts, prompts), b=st.tuples(prompts, prompts, prompts))
def test_different_model_prompt_or_parameters_give_different_keys(a: tuple[str, str, str], b: tuple[str, str, str]) -> None:
    keys = [Request(ServedModel(m, "x", None, VllmServer()), p, s).keys()[0] for m, p, s in (a, b)]
    assert (keys[0] == keys[1]) == (a == b)


def test_the_server_of_a_model_does_not_change_the_key() -> None:
    elsewhere = ServedModel("org/m@main", "org/m", None, Endpoint(kind="endpoint", urls=("http://localhost:1",)))
    assert Request(MODEL, "p", "{}").keys() == Request(elsewhere, "p", "{}").keys()


def test_equal_sampling_has_equal_parameters_for_integers_and_floats() -> None:
    assert params(Sampling(temperature=1, top_p=1)) == params(Sampling(temperature=1.0, top_p=1.0))
    assert params(Sampling(), stop=["x"]) != params(Sampling())


def test_no_server_default_can_change_what_is_sampled() -> None:
    for name in ("top_k", "min_p", "repetition_penalty", "temperature", "top_p", "max_tokens"):
        assert f'"{name}":' in params(Sampling())
