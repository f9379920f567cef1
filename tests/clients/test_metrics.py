"""Prometheus's own package reads the page of metrics, in both of its forms."""

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

FORMS = {"application/openmetrics-text; version=1.0.0": open_metrics, "text/plain; version=0.0.4": plain}


@pytest.mark.parametrize("accept", FORMS)
def test_the_page_is_read(gateway, client, accept):
    client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
    headers = {"authorization": f"Bearer {gateway.admin_key}", "accept": accept}
    answer = httpx.get(f"{gateway.url}/metrics", headers=headers)
    assert answer.headers["content-type"].startswith(accept)
    families = {family.name: family for family in FORMS[accept](answer.text)}
    samples = {sample.name for family in families.values() for sample in family.samples}
    assert {"fulcrum_requests_total", "fulcrum_build_info", "process_cpu_seconds_total", "fulcrum_ledger_queue"} <= samples
    kinds = {"fulcrum_requests": "counter", "fulcrum_latency_seconds": "histogram", "fulcrum_connections": "gauge"}
    assert {name: families[name].type for name in kinds} == kinds
