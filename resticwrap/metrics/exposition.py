"""A report as text: in Prometheus's own format, or as OpenMetrics for those who ask for it."""

from collections.abc import Iterable, Iterator

from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from resticwrap.model.metrics import MetricFamily, MetricsReport


def text(report: MetricsReport) -> bytes:
    """As node_exporter's textfile collector takes it: no timestamps."""
    return generate_latest(registry_of(report))


def negotiated(report: MetricsReport, accept: str) -> tuple[bytes, str]:
    """What a scraper with this `Accept` header understands, and its content type."""
    encode, content_type = choose_encoder(accept)
    return encode(registry_of(report)), content_type


def registry_of(report: MetricsReport) -> CollectorRegistry:
    """A registry of these series and no others: none of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Made(report.families))
    return registry


class _Made(Collector):
    """The port of the library: series that were made elsewhere."""

    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            yield _metric(family)


def _metric(family: MetricFamily) -> Metric:
    if family.type == "info":
        info = InfoMetricFamily(family.name.removesuffix("_info"), family.help)
        for metric in family.metrics:
            info.add_metric((), _clean(metric.labels))
        return info
    labels = tuple(dict.fromkeys(name for metric in family.metrics for name in metric.labels))
    made: CounterMetricFamily | GaugeMetricFamily
    if family.type == "counter":
        name = family.name.removesuffix("_total")
        made = CounterMetricFamily(name, family.help, labels=labels, unit=family.unit)
    else:
        made = GaugeMetricFamily(family.name, family.help, labels=labels, unit=family.unit)
    for metric in family.metrics:
        made.add_metric(tuple(_clean(metric.labels).values()), metric.value)
    return made


def _clean(labels: dict[str, str]) -> dict[str, str]:
    """With what no UTF-8 can hold (halves of surrogates) as backslash escapes."""
    return {name: value.encode("utf-8", "backslashreplace").decode() for name, value in labels.items()}
