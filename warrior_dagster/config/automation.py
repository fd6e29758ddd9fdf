"""What an arena starts automatically: a scheduled update, the work of new competitors, and the deletion of old runs."""

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from warrior_dagster.config.serving import Strict


class Budget(Strict):
    """The most that one window of the schedule may start, as `warrior plan` counts it. What is absent has no limit."""

    completions: int | None = Field(None, ge=1)
    """Completions that are not in the ledger yet."""
    gpu_hours: float | None = Field(None, gt=0)
    """GPU hours. Work whose hours the plan cannot state is not started."""
    cost: float | None = Field(None, gt=0)
    """Cost, in the currency of the prices in `engine`. Work whose cost the plan cannot state is not started."""


class Schedule(Strict):
    """When, and within which limits, everything is brought up to date (docs/schedule.md)."""

    cron: str = "0 2 * * *"
    """When a window opens: a cron expression of five fields (minute, hour, day of the month, month, day of the week), or
    '@daily' and the like."""
    timezone: str = "UTC"
    """A name of the time zone database, such as Europe/Berlin."""
    hours: float = Field(8, gt=0)
    """How long a window is open. Runs are only started while it is; a run that has started goes on."""
    budget: Budget = Budget()
    """What one window may spend."""
    matchups: int | None = Field(None, ge=1)
    """The most matchups that judges are asked about in one window; absent: no limit."""

    @field_validator("cron")
    @classmethod
    def is_cron(cls, cron: str) -> str:
        import dagster as dg

        try:
            dg.ScheduleDefinition(name="check", job_name="check", cron_schedule=cron)
        except dg.DagsterInvalidDefinitionError as error:
            raise ValueError(f"expected a cron schedule of five fields, such as '0 2 * * *'; found {cron!r}") from error
        return cron

    @field_validator("timezone")
    @classmethod
    def is_timezone(cls, timezone: str) -> str:
        if timezone not in available_timezones():
            raise ValueError(f"expected a name of the time zone database, such as Europe/Berlin; found {timezone!r}")
        return timezone


class Automation(Strict):
    """What starts automatically."""

    backfill_new_competitors: bool = False
    """Let the sensor `new_competitors` start the work of an appended competitor. It spends GPU hours without approval."""
    keep_runs_days: float | None = Field(None, gt=0)
    """Delete, once a day, the runs of the Dagster instance that ended longer ago than this; absent: never. If a code location
    has several arenas, all of them have to say so, and the longest time counts. Tables, the ledger and each partition's newest
    materialization stay."""
