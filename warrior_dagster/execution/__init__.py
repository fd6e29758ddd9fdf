"""Running code that models wrote: always in a sandbox, judged by a process that never runs it."""
