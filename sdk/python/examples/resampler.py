#!/usr/bin/python3
"""A resampler that keeps a percentile of the values of each interval."""
import dataclasses
import math

import fluxgate


@dataclasses.dataclass
class Config:
    percentile: float = fluxgate.setting(95.0, help="the share of values that are not above the one kept", unit="percent")

    def __post_init__(self):
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile {self.percentile}: must be above 0, and at most 100")


class Resampler:
    def __init__(self, config: Config):
        self.share = config.percentile / 100

    def resample(self, series: fluxgate.Series, step: int, context: fluxgate.Context) -> list[fluxgate.Point]:
        return [fluxgate.Point(start, self.rank([p.value for p in points])) for start, points in series.intervals(step)]

    def rank(self, values: list[float]) -> float:
        return sorted(values)[math.ceil(self.share * len(values)) - 1]


if __name__ == "__main__":
    fluxgate.serve_resampler(Resampler, Config, version="1.0")
