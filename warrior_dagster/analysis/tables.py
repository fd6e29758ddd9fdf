"""The tables of the analysis."""

from functools import partial

from warrior_dagster.analysis import audit, categories, instruction_flow, test_agreement
from warrior_dagster.config.arena import Arena
from warrior_dagster.materialization.table import Requests, Table, tokens_of

table = partial(Table, partitioned_by="nothing", group="analysis")


def audit_columns(arena: Arena) -> tuple[str, ...]:
    """The columns of the judge audit; with tests as evidence also each judge's agreement with them."""
    shares = [*audit.SHARES, *([test_agreement.SHARE] if arena.runs_tests else [])]
    columns = [f"{share}{suffix}" for share in shares for suffix in ("", "_of", "_low", "_high")]
    return ("row_id", "judge", "votes", "abstained", "tied", *columns, *(["accuracy"] if arena.runs_tests else []))


CATEGORIES = Table(
    "task_categories",
    "competitor",
    (*categories.SCHEMA, "competitor"),
    requests=Requests(lambda arena, _: (arena.mining.max_tokens + tokens_of(arena.analysis.category_prompt), 1)),
    enabled=lambda arena: arena.analysis.categories,
)
FUNNEL = table("funnel", columns=tuple(instruction_flow.FUNNEL))
NOVELTY = table(
    "instruction_novelty",
    columns=("row_id", "instruction_id", "instruction", "competitor", "reference_set", "rouge_l", "nearest"),
)
BANDS = table("difficulty_bands", columns=("row_id", "competitor", "band", "instructions", "share"))
HEAD_TO_HEAD = table(
    "head_to_head",
    columns=("row_id", "competitor", "opponent", "battles", "won", "tied", "lost", "win_rate", "low", "high"),
)
HISTORY = table("rating_history", columns=("row_id", "competitor", "rating", "low", "high", "battles"))
AUDIT = table("judge_audit", columns=audit_columns)
TABLES = [CATEGORIES, FUNNEL, NOVELTY, BANDS, HEAD_TO_HEAD, HISTORY, AUDIT]
