"""How others would count the same ticks: each policy a frozen, named, versioned set of choices, with its source.

A policy says what is counted (seconds, checks, or steps of the interval), how several regions make one answer, and
what each state is worth. `analysis.account` takes the attributes one by one and knows no names, so every mixture of two
policies is a policy, too: that is what the waterfall walks through.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from pipeline.analysis.hours import BusinessHours, Weights
from pipeline.errors import NotFoundError

Base = Literal["seconds", "checks", "steps"]
Retries = Literal["confirmed", "first", "every"]
Vote = Literal["quorum", "any", "all", "mean"]


class Policy(Struct, frozen=True, kw_only=True):
    """What is counted, and as what. A new meaning under an old name gets a new `version`.

    Shares are what a second (or check) is worth: 1 counts as up, 0 as down, 0.7 as up to 70 %; None leaves it out of
    the account. Paused time is outside for everybody.
    """

    name: str
    version: int = 1
    about: str = ""
    source: str = ""
    # Seconds in which a state held, checks, or steps as long as the site's interval, in which regions answer together.
    base: Base = "seconds"
    # Which attempt speaks for a slot: the one that confirms, the first alone, or every one as a check of its own.
    # Seconds are always those of confirmed states.
    retries: Retries = "confirmed"
    # What makes several regions one: our vote (`pipeline.judge.verdict`), one that is up, all that are up, or the mean.
    # Checks and steps vote among those of one interval; by the mean each counts for itself.
    regions: Vote = "quorum"
    degraded: float = 1.0
    # Some regions, too few for the vote, hold it down.
    partial: float = 1.0
    unknown: float | None = None
    # "counted": the window changes nothing, what was found in it counts.
    maintenance: float | Literal["counted"] | None = None
    # Checks of an hour that began before the range are left out.
    whole_hours: bool = False
    # Only so many of the newest checks, of all regions together.
    last: int | None = None
    hours: BusinessHours | None = None
    weights: Weights | None = None


DEFAULT = Policy(
    name="default",
    about="Time up of the time known, by the vote of the regions. What nobody knows is neither up nor down.",
    source="Ours: README, How uptime is counted.",
)

POLICIES = {
    policy.name: policy
    for policy in (
        DEFAULT,
        Policy(
            name="kuma",
            about="Checks that were up of all checks; a retry that failed counts as down, maintenance not at all.",
            # flatStatus: PENDING becomes DOWN, every retry is a beat; MAINTENANCE has a counter of its own that
            # getData leaves out; up / (up + down). What was not checked has no beat.
            source="Uptime Kuma, server/uptime-calculator.js: update, flatStatus, getData (August 2026).",
            base="checks",
            retries="every",
            regions="mean",
        ),
        Policy(
            name="gatus",
            about="Checks that succeeded of all checks, in whole UTC hours; maintenance only silences alerts.",
            # updateEndpointUptime adds each result to its UTC hour; getEndpointUptime sums the hours that begin in the
            # range. There are no retries; watchdog/endpoint.go counts in maintenance and skips alerting only.
            source="Gatus, storage/store/sql/sql.go: updateEndpointUptime, getEndpointUptime (August 2026).",
            base="checks",
            retries="first",
            regions="mean",
            maintenance="counted",
            whole_hours=True,
        ),
        Policy(
            name="grafana-uptime",
            about="Steps of the check's frequency in which any region succeeded.",
            # max by () (max_over_time(probe_success[frequency])), averaged over the range.
            source="Grafana Synthetic Monitoring, src/queries/uptime.ts and UPTIME_DESCRIPTION (August 2026).",
            base="steps",
            retries="first",
            regions="any",
            maintenance="counted",
        ),
        Policy(
            name="grafana-reachability",
            about="Checks that succeeded of all checks, over all regions.",
            # sum(rate(probe_all_success_sum)) / sum(rate(probe_all_success_count))
            source="Grafana Synthetic Monitoring, src/queries/reachability.ts (August 2026).",
            base="checks",
            retries="first",
            regions="mean",
            maintenance="counted",
        ),
        Policy(
            name="datadog",
            about="Time not in ALERT, which one failing region is enough for; missing data is OK, as is WARN.",
            # "SLO calculations treat WARN as good behavior"; "configured to ignore missing data … treated as OK";
            # "Muting a monitor does not affect the SLO calculation"; a synthetic test alerts when one group fails.
            source="Datadog documentation, service_level_objectives/monitor: Overall status, Missing data; synthetics' "
            "default alert condition. Retries are those of the site.",
            regions="all",
            unknown=1.0,
            maintenance="counted",
        ),
        Policy(
            name="kener",
            about="Checks that were up, degraded or in maintenance, of all checks.",
            # defaultNumeratorStr: up + maintenance + degraded; defaultDenominatorStr adds down; no data is in neither.
            source="Kener, src/lib/global-constants.ts and UptimeCalculator in src/lib/server/tool.ts (August 2026).",
            base="checks",
            retries="first",
            regions="mean",
            maintenance=1.0,
        ),
        Policy(
            name="statuspage",
            about="Time without outage: a major one counts whole, a partial one 30 %; anything else is operational.",
            source="Atlassian Statuspage help, Display historical uptime of components: How it works. A partial outage "
            "is here one that too few regions for a verdict see.",
            partial=0.7,
            unknown=1.0,
            maintenance=1.0,
        ),
        Policy(
            name="seed",
            about="The ten newest ticks of all regions: how many were up.",
            source="The project this one grew from: its dashboard's list took the last ten ticks of a site.",
            base="checks",
            retries="every",
            regions="mean",
            maintenance="counted",
            last=10,
        ),
    )
}


def policy_of(policy: str | Policy) -> Policy:
    """The policy of that name, or the one given. Errors: NotFoundError."""
    if isinstance(policy, Policy):
        return policy
    if policy not in POLICIES:
        raise NotFoundError(f"there is no policy {policy!r}; there are {', '.join(POLICIES)}")
    return POLICIES[policy]
