"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cmpc_requests", "Requests that were answered.", ["path", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "cmpc_request_seconds", "Time from a request's arrival to its answer.", ["path"], registry=self._registry
        )
        self._batch = Histogram(
            "cmpc_batch_photos",
            "Photos that the network saw at once.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )

    def watch_waiting(self, waiting: Callable[[], int]) -> None:
        """Reads the number of requests in the queue whenever it is asked for."""
        gauge = Gauge("cmpc_waiting_requests", "Requests that wait for the network.", registry=self._registry)
        gauge.set_function(waiting)

    def count_request(self, path: str, status: int, seconds: float) -> None:
        """Counts an answered request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def count_batch(self, photos: int) -> None:
        """Counts a batch of photos."""
        self._batch.observe(photos)

    def text(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self._registry)
