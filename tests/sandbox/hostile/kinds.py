"""The form of a hostile program, which is data: its name, the answer's code and the checks that it must not pass."""

Programs = dict[str, tuple[str, tuple[str, ...]]]
