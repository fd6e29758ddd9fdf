"""Everything between a stage and the models: prompts, requests, the ledger, engines and servers."""

from warrior_dagster.inference import chat_template, prompting, request

REQUEST_MODULES = (prompting, chat_template, request)
"""The modules that determine prompts and verdicts: part of the code version of every stage that uses models."""
