"""Renders one chat template in a process that may die, because a stranger's template can loop for ever or fill the memory.

`rendering.py` runs this file as a script, whose standard input is a socket. It reads pickles from there: first the template and
the values that stay, then the messages of each text. Each answer is a status, a length of eight bytes and UTF-8.
"""

import json
import pickle
import resource
import signal
from collections.abc import Callable
from datetime import date
from functools import cache, partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

CPU_SECONDS = 1.0
"""Of this process for one text. Published templates take less than a millisecond."""
MEMORY_BYTES = 512 << 20
"""The address space of this process, of which the interpreter needs a tenth."""
TEXT, REFUSED, FAILED = b"trf"
"""What an answer is: a text, an error by Jinja's own means, any other error or limit that was exceeded."""
LONGEST_ERROR = 500

# Some templates (Llama 3.1 and later) write today's date into the prompt, which would change the ledger's keys every day. This
# is the date that Llama's template uses when it has no clock.
TEMPLATE_DATE = date(2024, 7, 26)


def environment() -> "Environment":
    """The environment in which transformers renders chat templates; a test compares the two."""
    from jinja2 import TemplateError, ext, nodes, parser, sandbox

    class Generation(ext.Extension):
        """The block that marks what an assistant wrote, for training. Here it writes its body."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: parser.Parser) -> nodes.Node:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("body"), [], [], body).set_lineno(line)

        def body(self, caller: Callable[[], str]) -> str:
            return caller()

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    return made


def answer(work: Callable[[], str], most: int) -> tuple[int, str]:
    """The status and the text of one answer. The kernel ends this process if `work` takes more than CPU_SECONDS."""
    from jinja2 import TemplateError

    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        text = work()
        if len(text) > most:
            return FAILED, f"its chat template writes more than {most} characters for a prompt"
        return TEXT, text
    except MemoryError:
        return FAILED, f"its chat template needs more than {MEMORY_BYTES >> 20} MiB of memory for a prompt"
    except Exception as error:
        status = REFUSED if isinstance(error, TemplateError) else FAILED
        return status, f"{type(error).__name__}: {str(error)[:LONGEST_ERROR]}"


def main() -> None:
    """Answer until the socket is closed."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    jinja = environment()
    with open(0, "rb") as requests, open(0, "wb", closefd=False) as answers:

        def send(status: int, text: str) -> None:
            encoded = text.encode("utf-8", "surrogatepass")
            answers.write(bytes([status]) + len(encoded).to_bytes(8, "little") + encoded)
            answers.flush()

        source, values = pickle.load(requests)
        values |= {"strftime_now": TEMPLATE_DATE.strftime, "date_string": TEMPLATE_DATE.strftime("%d %b %Y")}
        template = cache(partial(jinja.from_string, source))  # compiled with the first text, within its limits

        def rendered(changing: dict[str, Any]) -> str:
            return template().render(values | changing)

        while requests.peek(1):
            changing, most = pickle.load(requests)
            send(*answer(partial(rendered, changing), most))


if __name__ == "__main__":
    main()
