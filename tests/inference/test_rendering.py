"""Chat templates are rendered as transformers renders them, and no hostile one stops or fills this process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from jinja2 import TemplateError

from tests.families import FAMILIES, small_template
from warrior_dagster.inference import rendering
from warrior_dagster.inference.chat_template import ChatTemplate
from warrior_dagster.inference.rendering import Renderer, TemplateFailed, TemplateRefused
from warrior_dagster.inference.template_worker import MEMORY_BYTES, TEMPLATE_DATE

HI = [{"role": "user", "content": "Hi"}]
TRL = find_spec("trl")  # not imported, which would set variables of the environment
assert TRL
assert TRL.origin
PUBLISHED = {
    path.stem: small_template(path.read_text(encoding="utf-8"), ["<bos>", "<eos>"], "<bos>", "<eos>")
    for path in sorted((Path(TRL.origin).parent / "chat_templates").glob("*.jinja"))
}
"""The templates of published models that come with TRL."""
TEXTS = (
    *(
        "Hi",
        "",
        "  two\n\nlines \t\n",
        "{{ messages }} {% endfor %}",
        "<b>&amp;'\"</b>",
        "<think>\nWhy?\n</think>\n\nSo.",
        "/no_think",
    ),
    *("<tool_response>4</tool_response>", "\ud83d\ude00 \U0001f600 \ud800 \x00\r\n\u2028\u00a0"),
)


def conversations() -> Iterator[list[dict[str, str]]]:
    for text in TEXTS:
        yield [{"role": "user", "content": text}]
        yield [{"role": "system", "content": text}, {"role": "user", "content": text}]
        answer = {"role": "assistant", "content": text, "reasoning_content": text}
        yield [{"role": "user", "content": text}, answer, {"role": "user", "content": text}]


def by_transformers(template: ChatTemplate, messages: list[dict[str, str]], generate: bool) -> str:
    """What transformers writes, or the type and text of what it raises."""
    try:
        text = template.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=generate,
            strftime_now=TEMPLATE_DATE.strftime,
            date_string=TEMPLATE_DATE.strftime("%d %b %Y"),
            **template.arguments,
        )
    except Exception as error:
        return f"{isinstance(error, TemplateError)} {type(error).__name__}: {error}"
    assert isinstance(text, str)
    return text


def rendered(renderer: Renderer, messages: list[dict[str, str]], generate: bool) -> str:
    try:
        return renderer.render(messages, generate)
    except TemplateFailed as error:
        return f"{isinstance(error, TemplateRefused)} {error}"


@pytest.mark.parametrize(
    "template", [*FAMILIES.values(), *PUBLISHED.values()], ids=[*FAMILIES, *(f"trl-{n}" for n in PUBLISHED)]
)
def test_a_prompt_is_that_of_transformers_to_the_letter(template: ChatTemplate) -> None:
    tokenizer = template.tokenizer
    values = {"tools": None, "documents": None, **tokenizer.special_tokens_map, **template.arguments}
    renderer, texts = Renderer(tokenizer.get_chat_template(), values), set[str]()
    for messages in conversations():
        for generate in (False, True):
            expected = by_transformers(template, messages, generate)
            assert rendered(renderer, messages, generate) == expected
            texts.add(expected)
    assert len(texts) > 2
    renderer.stop()


@pytest.mark.parametrize(
    "source",
    [
        "{% generation %}{% set x = 1 %}{{ messages[0].content }}{% endgeneration %}{{ x }}",
        "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
        "  {% if true %}\n  a\n  {% endif %}\n{{ messages|tojson }}{{ messages|tojson(indent=2, sort_keys=true) }}\n\n",
        "{{ {'a': '<é>', 'b': [1, none, 2.5]}|tojson(ensure_ascii=true, separators=(',', ':')) }}",
        "{{ strftime_now('%A %d %B %Y') }} {{ date_string }} {{ bos_token }} {{ nothing }} {{ tools is none }}",
        "{% macro turn(m) %}[{{ m.role }}]{{ caller() }}{% endmacro %}{% call turn(messages[0]) %}x{% endcall %}",
        "{{ raise_exception('no ' + messages[0].role) }}",
        "{{ messages[0].nothing.more }}",
        "{{ 1 + 'a' }}",
        "{{ messages[3] }}|{{ messages[0]['content'][::-1] }}",
    ],
)
def test_what_templates_may_use_is_as_in_transformers(source: str) -> None:
    template = small_template(source, ["<s>", "</s>"], "<s>", "</s>")
    renderer = Renderer(source, {"tools": None, "documents": None, **template.tokenizer.special_tokens_map})
    assert rendered(renderer, HI, True) == by_transformers(template, HI, True)


NESTED = "{% for a in range(99999) %}" * 6 + "{{ 1 }}" + "{% endfor %}" * 6
HOSTILE = {
    # Time
    "nested loops": (NESTED, "CPU time"),
    "a loop of loops without output": (NESTED.replace("{{ 1 }}", ""), "CPU time"),
    "a power": ("{{ 10**(10**10) }}", "CPU time"),
    "digits": ("{% set x = 3**9999999 %}{{ x % 10 ** 99999 * x * x * x * x }}", "CPU time|digits"),
    "replaced in a loop": (
        "{% set n = namespace(t='ab') %}{% for i in range(99999) %}{% set n.t = n.t|replace('a', 'aa') %}{% endfor %}",
        "CPU time|memory",
    ),
    "a sort of sorts": (
        "{% set x = range(99999)|list %}{% for i in range(99999) %}{% set y = (x|sort(reverse=true)|join)[0] %}{% endfor %}",
        "CPU time",
    ),
    "words wrapped": ("{{ ('a ' * 9999999)|wordwrap(1)|length }}", "CPU time|memory"),
    "words counted": (
        "{% for i in range(99999) %}{% set x = (messages[0].content * 99999)|wordcount %}{% endfor %}",
        "CPU time",
    ),
    "text urlised": (
        "{% for i in range(99999) %}{% set x = ('http://' + messages[0].content * 9999 + '.com')|urlize %}{% endfor %}",
        "CPU time|memory",
    ),
    # Memory
    "a long text": ("{{ 'x' * 10**10 }}", "512 MiB of memory"),
    "a long list": ("{% set x = [0] * 10**10 %}", "512 MiB of memory"),
    "a text that doubles": (
        "{% set n = namespace(t='x') %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "512 MiB of memory",
    ),
    "lists that double": (
        "{% set n = namespace(t=[0]) %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}",
        "512 MiB of memory",
    ),
    "padding": ("{{ 'x'|center(10**10) }}", "512 MiB of memory"),
    "a wide format": ("{{ '%9999999999d' % 1 }}", "memory|OverflowError|ValueError"),
    "a wide format by braces": ("{{ '{:>9999999999}'.format('x') }}", "memory"),
    "an indent": ("{{ 'x\nx'|indent(10**10) }}", "512 MiB of memory"),
    "a date": ("{{ strftime_now('%c' * 10**7) }}", "memory|writes more|CPU time"),
    # Output
    "1 GiB in one piece": ("{{ 'x' * 2**30 }}", "512 MiB of memory|writes more"),
    "1 GiB in pieces": ("{% for i in range(1024) %}{{ 'x' * 2**20 }}{% endfor %}", "512 MiB of memory|writes more"),
    "some MiB": ("{{ 'x' * 5000000 }}", "writes more than \\d+ characters"),
    "a text repeated": ("{% for i in range(50000) %}{{ messages[0].content }}{% endfor %}", "writes more than"),
    # Recursion
    "a macro of itself": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "RecursionError"),
    "a loop of itself": ("{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}", "RecursionError"),
    "a block of itself": ("{% block b %}{{ self.b() }}{% endblock %}", "RecursionError"),
    "deep brackets": ("{{ " + "(" * 99_999 + "1" + ")" * 99_999 + " }}", "RecursionError|MemoryError|memory|ended with"),
    "deep lists": ("{{ " + "[" * 5000 + "]" * 5000 + " }}", "Recursion|ended|Error"),
    "deep conditions": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, "Error|ended with"),
    # Inputs and other templates
    "a message added": ("{{ messages.append({'role': 'user'}) }}", "SecurityError"),
    "a message changed": ("{{ messages[0].update({'content': 'x'}) }}", "SecurityError"),
    "a message emptied": ("{{ messages[0].clear() }}", "SecurityError"),
    "messages reversed": ("{{ messages.reverse() }}", "SecurityError"),
    "an include": ("{% include '/etc/passwd' %}", "TypeError"),
    "an import": ("{% import 'os' as os %}", "TypeError"),
    "a parent": ("{% extends 'x' %}", "TypeError"),
    # Errors
    "a long error": ("{{ raise_exception('x' * 10**7) }}", "TemplateError: x+$"),
    "errors in a loop": ("{% for i in range(99999) %}{{ raise_exception('x' * i) }}{% endfor %}", "TemplateError"),
    "an error with an object": ("{{ raise_exception(messages) }}", "TemplateError"),
    "an error on several lines": ("{{ raise_exception('a\\nb\\x1b[31m') }}", "TemplateError"),
    "a long range": ("{% for i in range(10**9) %}{% endfor %}", "OverflowError: Range too big"),
}


ESCAPES = {
    "the class of a text": "{{ ''.__class__ }}",
    "the bases of a text": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "an item that is an attribute": "{{ ''['__class__']['__mro__'] }}",
    "the filter attr": "{{ (''|attr('__class__'))|attr('__mro__') }}",
    "the filter attr by pieces": "{{ ''|attr('__cl' ~ 'ass__') }}",
    "the filter map": "{{ ['']|map(attribute='__class__')|list }}",
    "a format of attributes": "{{ '{0.__class__}'.format('') }}",
    "a format of items": "{{ '{a.__class__.__mro__}'.format_map({'a': ''}) }}",
    "the globals of cycler": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "the globals of joiner": "{{ joiner.__init__.__globals__ }}",
    "the globals of namespace": "{{ namespace.__init__.__globals__ }}",
    "the globals of lipsum": "{{ lipsum.__globals__['os'] }}",
    "the globals of raise_exception": "{{ raise_exception.__globals__ }}",
    "the object of strftime_now": "{{ strftime_now.__self__ }}",
    "the context": "{{ self._TemplateReference__context }}",
    "the code of a macro": "{% macro f() %}{% endmacro %}{{ f._func.__code__ }}",
    "a generator's frame": "{{ (messages|map('upper')).gi_frame }}",
    "an attribute of a namespace": "{% set n = namespace() %}{% set n.__class__ = 1 %}{{ n.__class__ }}",
    "a format that is called indirectly": "{% set f = '{0.__class__}'.format %}{{ f('') }}",
    "a format of a text that is safe": "{{ ('{0.__class__}'|safe).format('') }}",
    "a format as a filter": "{{ '%s'|format(''.__class__) }}",
    "the module of the environment": "{{ self.environment }}{{ joiner.__module__ }}",
    "groups by an attribute": "{{ ['']|groupby('__class__') }}",
}
"""Ways from values of a template to those of Python."""


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_template_is_an_error(attack: str) -> None:
    source, reason = HOSTILE[attack]
    renderer = Renderer(source, {})
    with pytest.raises(TemplateFailed, match=reason) as caught:
        renderer.render(HI, True)
    assert len(str(caught.value)) < 600
    renderer.stop()


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_attribute_leads_out_of_a_template(escape: str) -> None:
    text = rendered(Renderer(ESCAPES[escape], {}), HI, True)
    assert text in ("", "[Undefined]") or "SecurityError" in text or "Undefined" in text


def pid_of(renderer: Renderer) -> int:
    return renderer._process.pid


def test_a_text_that_is_longer_than_a_socket_s_buffer_is_rendered() -> None:
    text = "x\u00e9" * 1_000_000
    assert Renderer("{{ messages[0].content }}", {}).render([{"role": "user", "content": text}], True) == text


def test_a_template_that_only_one_text_harms_serves_the_next() -> None:
    renderer = Renderer(
        "{% if messages[0].content == 'loop' %}{{ 10**(10**(messages|length * 10)) }}{% endif %}{{ messages[0].content }}", {}
    )
    assert renderer.render(HI, True) == "Hi"
    with pytest.raises(TemplateFailed, match="CPU time"):
        renderer.render([{"role": "user", "content": "loop"}], True)
    assert renderer.render(HI, True) == "Hi"


def test_a_template_that_is_slow_for_many_texts_is_an_error_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "LATE_SECONDS", 0.5)
    renderer = Renderer("{% for i in range(99999) %}{% for j in range(20) %}{% endfor %}{% endfor %}x", {})

    def render_often() -> None:
        for _ in range(1000):
            renderer.render(HI, True)

    with pytest.raises(TemplateFailed, match=r"took more than 0\.05 s for each of many prompts"):
        render_often()
    renderer.stop()


def test_a_process_that_was_killed_is_an_error_once() -> None:
    renderer = Renderer("{{ messages[0].content }}", {})
    renderer.render(HI, True)
    os.kill(pid_of(renderer), signal.SIGKILL)
    with pytest.raises(TemplateFailed, match="ended with status -9"):
        renderer.render(HI, True)
    assert renderer.render(HI, True) == "Hi"


def test_an_interrupt_leaves_no_answer_for_the_next_text() -> None:
    renderer = Renderer("{{ messages[0].content }}", {})
    renderer.render(HI, True)
    answers, renderer._answers = renderer._answers, Interrupting()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        renderer.render([{"role": "user", "content": "first"}], True)
    answers.close()
    assert renderer.render([{"role": "user", "content": "second"}], True) == "second"


class Interrupting:
    """Answers that Ctrl-C keeps from being read."""

    def read(self, size: int) -> bytes:
        raise KeyboardInterrupt


def test_no_state_of_one_text_is_left_for_the_next() -> None:
    renderer = Renderer("{% set n = namespace(c=0) %}{% set n.c = n.c + 1 %}{{ n.c }}{{ x }}{% set x = 1 %}", {})
    assert [renderer.render(HI, True) for _ in range(3)] == ["1"] * 3


def test_a_process_has_limits_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    renderer = Renderer("{{ messages[0].content }}", {})
    renderer.render(HI, True)
    folder = Path(f"/proc/{pid_of(renderer)}")
    assert b"sk-planted" not in (folder / "environ").read_bytes()
    assert f"Max address space         {MEMORY_BYTES}" in (folder / "limits").read_text()
    assert "Max core file size        0 " in (folder / "limits").read_text()


def test_a_process_ends_with_its_renderer() -> None:
    renderer = Renderer("{{ messages[0].content }}", {})
    renderer.render(HI, True)
    folder = Path(f"/proc/{pid_of(renderer)}")
    del renderer
    assert not folder.exists()


def test_a_process_ends_with_a_parent_that_is_killed() -> None:
    code = (
        "import time; from warrior_dagster.inference.rendering import Renderer; r = Renderer('x', {});"
        "r.render([{'role': 'user', 'content': ''}], True); print(r._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        worker = Path(f"/proc/{parent.stdout.readline().strip()}")
        assert worker.exists()
        parent.kill()
    while worker.exists() and "\nState:\tZ" not in (worker / "status").read_text():
        time.sleep(0.05)
