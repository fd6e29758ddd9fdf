"""What an arena does by itself: when matchups battle, and whether newcomers start."""

from pydantic import Field, field_validator

from warrior_dagster.config.serving import Strict


class Schedule(Strict):
    """When matchups battle by themselves."""

    cron: str = "0 2 * * *"
    """Five fields: minute, hour, day of the month, month, day of the week."""
    timezone: str = "UTC"
    """A name of the time zone database, such as Europe/Berlin."""
    matchups: int = Field(10, ge=1)
    """At most so many at each tick."""

    @field_validator("cron")
    @classmethod
    def is_cron(cls, cron: str) -> str:
        from dagster._utils.schedules import is_valid_cron_schedule

        if not is_valid_cron_schedule(cron):
            raise ValueError(f"expected a cron schedule of five fields, such as '0 2 * * *'; found {cron!r}")
        return cron

    @field_validator("timezone")
    @classmethod
    def is_timezone(cls, timezone: str) -> str:
        from zoneinfo import available_timezones

        if timezone not in available_timezones():
            raise ValueError(f"expected a name of the time zone database, such as Europe/Berlin; found {timezone!r}")
        return timezone


class Automation(Strict):
    """What starts by itself."""

    backfill_new_competitors: bool = False
    """The roster sensor starts the work of a competitor that was appended. It costs GPU hours without being asked."""
