"""What an arena starts without a person: matchups on a schedule, and the work of new competitors."""

from pydantic import Field, field_validator

from warrior_dagster.config.serving import Strict


class Schedule(Strict):
    """When matchups are scheduled."""

    cron: str = "0 2 * * *"
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """A name of the time zone database, such as Europe/Berlin."""
    matchups: int = Field(10, ge=1)
    """The most matchups of one tick."""

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
        from zoneinfo import available_timezones

        if timezone not in available_timezones():
            raise ValueError(f"expected a name of the time zone database, such as Europe/Berlin; found {timezone!r}")
        return timezone


class Automation(Strict):
    """What starts without a person."""

    backfill_new_competitors: bool = False
    """The roster sensor starts the work of an appended competitor. It costs GPU hours without anybody's approval."""
