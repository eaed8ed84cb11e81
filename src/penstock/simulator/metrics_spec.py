"""The way of a metric to the autoscaler, as the world's file states it: from perfect to a managed service's."""

from typing import Literal, Self

from pydantic import Field, model_validator

from penstock.messages.fields import SpecModel

SCRAPE_S = 30.0  # Azure Managed Prometheus' default; what Prometheus Operator and Helm charts have too
# From a scrape until a query sees it. Microsoft states no figure: an assumption, to be set where one was measured.
MANAGED_INGESTION_S = 15.0


class MetricsSpec(SpecModel):
    """The way of a metric to the autoscaler."""

    through: Literal["direct", "prometheus", "managed-prometheus"] = "direct"
    """`direct`: the processes are asked. `prometheus`: queries over what was scraped, as an HPA or KEDA sees it. With
    `managed-prometheus`, Azure's, samples can be queried only after a while."""
    scrape_s: float | None = Field(default=None, gt=0, le=600)
    """Seconds between two scrapes of a process. Default: read afresh at every look, or every 30 s through Prometheus,
    which gives each process its own fixed place within the interval."""
    jitter_s: float = Field(default=0.0, ge=0, le=60)
    """Seconds by which a scrape comes late at most."""
    missed: float = Field(default=0.0, ge=0, lt=1)
    """Share of scrapes that fail: then there is no value, and Prometheus ends the series until the next."""
    ingestion_s: float | None = Field(default=None, ge=0, le=600)
    """Seconds from a scrape until queries see it. Default: 0; through Managed Prometheus 15, which is an assumption."""
    rate_window_s: float = Field(default=120.0, gt=0, le=3600)
    """Seconds of the queries' rate windows."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.queried and self.rate_window_s < 2 * self.every_s:
            raise ValueError(
                f"rateWindowSeconds {self.rate_window_s:g} holds fewer than two scrapes of {self.every_s:g} s; "
                "set it to four scrapes or more"
            )
        if self.jitter_s and self.jitter_s > self.every_s / 2:
            raise ValueError(
                f"jitterSeconds {self.jitter_s:g} is more than half of the interval of {self.every_s:g} s; "
                "set scrapeSeconds, or less jitter"
            )
        if self.ingestion_s and not self.queried:
            raise ValueError("ingestionSeconds: processes that are asked answer at once; remove it, or set through")
        return self

    @property
    def queried(self) -> bool:
        """Whether it goes through Prometheus."""
        return self.through != "direct"

    @property
    def every_s(self) -> float:
        """Seconds between two scrapes; 0: at every look."""
        if self.scrape_s is not None:
            return self.scrape_s
        return SCRAPE_S if self.queried else 0.0

    @property
    def delay_s(self) -> float:
        """Seconds from a scrape until queries see it."""
        if self.ingestion_s is not None:
            return self.ingestion_s
        return MANAGED_INGESTION_S if self.through == "managed-prometheus" else 0.0
