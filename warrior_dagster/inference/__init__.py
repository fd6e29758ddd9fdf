"""The one way in which stages ask models. `ASKING` is what a prompt and its reading rest on: part of every code version."""

from warrior_dagster.inference import chat_template, prompting, request

ASKING = (prompting, chat_template, request)
