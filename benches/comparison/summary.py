"""From the raw figures of all rounds to one figure for a server in a row."""

import dataclasses
import statistics

from comparison.rows import FLOOR, METRICS


@dataclasses.dataclass(frozen=True)
class Figure:
    """The median of a metric over the rounds, with the least and the most."""

    metric: str
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds, metric):
        values = [figures[metric] for figures in rounds if metric in figures]
        return cls(metric, statistics.median(values), min(values), max(values)) if values else None

    def __str__(self):
        return METRICS[self.metric].text(self.median)

    def spread(self):
        """From the least to the most."""
        low, high = METRICS[self.metric].text(self.low), METRICS[self.metric].text(self.high)
        return low if low == high else f"{low} – {high}"


class Summary:
    """One row: the figures of its servers, and which of them did something wrong."""

    def __init__(self, row, results):
        self.row = row
        self.rounds = results[row.name]
        self.wrong = {}
        for name, rounds in self.rounds.items():
            reasons = [figures["wrong"] for figures in rounds if "wrong" in figures]
            if reasons:
                self.wrong[name] = reasons[0] + (f" ({len(reasons)} of {len(rounds)} times)" if len(reasons) < len(rounds) else "")

    def figure(self, name, metric=None):
        return Figure.of(self.rounds.get(name, []), metric or self.row.metric)

    def ranked(self, metric=None):
        """The servers that answered rightly, the best first."""
        metric = metric or self.row.metric
        good = [name for name in self.rounds if name not in self.wrong and name != FLOOR and self.figure(name, metric)]
        return sorted(good, key=lambda name: self.figure(name, metric).median, reverse=METRICS[metric].more)

    def order(self):
        """All of them: the floor, those that are ranked, those that are not."""
        return [FLOOR] * (FLOOR in self.rounds) + self.ranked() + list(self.wrong)

    def ratio(self, name, to, metric=None):
        """A server's figure as a multiple of another's."""
        own, other = self.figure(name, metric), self.figure(to, metric)
        return own.median / other.median if own and other and other.median else None

    def reached(self, goal):
        """The rival that a goal is about, what was reached, and whether that is enough; None if they were not measured."""
        metric = goal.metric or self.row.metric
        if "rwsgi" in self.wrong:
            return "", self.wrong["rwsgi"], False
        if not self.figure("rwsgi", metric):
            return None
        if goal.bound is not None:
            figure = self.figure("rwsgi", metric)
            return "itself", str(figure), figure.median <= goal.bound
        rivals = [name for name in self.ranked(metric) if name != "rwsgi" and (name in goal.against or not goal.against)]
        if FLOOR in goal.against and self.figure(FLOOR, metric):
            rivals = [FLOOR]
        if not rivals:
            return None
        ratio = self.ratio("rwsgi", rivals[0], metric)
        return rivals[0], f"{ratio:.2f}", ratio >= goal.ratio if METRICS[metric].more else ratio <= goal.ratio
