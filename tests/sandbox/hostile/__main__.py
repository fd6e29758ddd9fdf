"""Runs the programs as a script: `python -m tests.sandbox.hostile '{"level": …, "nested": …, "facts": …, "kinds": …}'`."""

from tests.sandbox.hostile import main

main()
