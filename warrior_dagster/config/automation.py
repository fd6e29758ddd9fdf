"""What an arena starts automatically: matchups on a schedule, and the work of new competitors."""

from zoneinfo import available_timezones

from pydantic import Field, field_validator

from warrior_dagster.config.serving import Strict


class Schedule(Strict):
    """When matchups are scheduled."""

    cron: str = "0 2 * * *"
    """Cron expression of five fields: minute, hour, day of the month, month, day of the week; or '@daily' and the like."""
    timezone: str = "UTC"
    """A name of the time zone database, such as Europe/Berlin."""
    matchups: int = Field(10, ge=1)
    """The most matchups that one tick starts."""

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
