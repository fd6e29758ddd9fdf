"""What an arena's numbers mean together, and where everything is written: a line each, for people who wrote the numbers."""

from warrior_dagster.config.arena import Arena
from warrior_dagster.config.battles import OPINION
from warrior_dagster.config.matchups import matchup_keys, sides
from warrior_dagster.inference.ledger.table import table_path
from warrior_dagster.planning.quantities import counted, listed
from warrior_dagster.stages.battles.votes import opinions_per_battle
from warrior_dagster.warehouse.state import dagster_home


def meaning(arena: Arena) -> list[str]:
    """The lines about an arena: of each stage that asks models, then of places."""
    return [*numbers(arena), *places(arena)]


def numbers(arena: Arena) -> list[str]:
    """A line for each stage: what is multiplied, and the product."""
    mined = [name for name in arena.roster if arena.mines(name)]
    settings, languages = counted(len(arena.mining.settings), "setting"), counted(len(arena.languages), "language")
    samples = len(arena.mining.settings) * len(arena.languages) * arena.mining.samples
    instructions = arena.selection.centres * len(mined)
    questions = "; before that, whether it is about programming" if arena.difficulty.off_topic == "drop" else ""
    lines = [
        f"mining: {settings} x {languages} x {arena.mining.samples:,} = {counted(samples, 'sample')} a competitor;"
        f" {len(mined)} are mined: {samples * len(mined):,}",
        f"difficulty: {counted(arena.difficulty.panel, 'judge')} for each unique instruction{questions}",
        f"selection: at most {arena.selection.centres:,} instructions a competitor: {instructions:,}",
        answers(arena, instructions),
    ]
    if arena.runs_tests:
        a_judge, most = instructions * arena.execution.samples, counted(arena.execution.max_tests, "test")
        lines.append(
            f"tests: {instructions:,} instructions x {counted(arena.execution.samples, 'sample')} = {a_judge:,} completions a"
            f" competitor, each with at most {most}"
        )
    if arena.battles.exam:
        asked, judges = counted(arena.battles.exam, "question"), counted(len(arena.possible_judges), "judge")
        lines.append(f"exam: {asked} x 2 orders = at most {2 * arena.battles.exam:,} completions a judge; {judges}")
    return [*lines, *([opinions(arena, instructions)] if arena.asks_judges else [])]


def answers(arena: Arena, instructions: int) -> str:
    """How many answers the competitors give."""
    samples = [arena.answer_samples(one) for one in arena.competitors]
    times = " or ".join(str(count) for count in sorted(set(samples)))
    a_competitor = f" = {instructions * samples[0]:,} a competitor" if len(set(samples)) == 1 else " a competitor"
    all_of_them = f"{counted(len(samples), 'competitor')}: {instructions * sum(samples):,}"
    return f"answers: {instructions:,} instructions x {times}{a_competitor}; {all_of_them}"


def opinions(arena: Arena, instructions: int) -> str:
    """How many opinions are asked for."""
    matchups = matchup_keys(arena.roster)
    mined_sides = sum(arena.mines(side) for one in matchups for side in sides(one))
    everything = arena.battles.instructions == "all"
    battles = len(matchups) * instructions if everything else mined_sides * arena.selection.centres
    judges, a_battle = len(arena.judges(*sides(matchups[0]))), opinions_per_battle(arena, matchups[0])
    most = "at most " if arena.battles.opinions == "open" else ""
    of_each = f"{counted(judges, 'judge')} x {counted(a_battle // judges, 'order')} = {counted(a_battle, OPINION)} a battle"
    return (
        f"opinions: {of_each}; {counted(len(matchups), 'matchup')}, {counted(battles, 'battle')}: {most}{battles * a_battle:,}"
    )


def places(arena: Arena) -> list[str]:
    """Where everything is written."""
    formats = listed(arena.export.formats)
    return [
        f"tables: {arena.warehouse}",
        f"ledger, with every completion: {table_path(arena.warehouse)}",
        f"exports ({formats}) and the report: {arena.export.folder}",
        f"Dagster's records of runs: {dagster_home()}",
    ]
