-- Some attempts are made for something else than the caller's answer: a hedge beside it, a judge of it. Null is an attempt at
-- the answer, as mostly.
alter table attempts add column role text;

drop view full_attempts;

create view full_attempts as
select r.id as request_id, 1 as n, k.provider, k.model, k.status, k.http_status, k.error_code, 0 as retryable,
    r.sent_at as started_at, r.sent_latency_us as latency_us, r.sent_first_token_us as first_token_us, r.input_tokens,
    r.cached_input_tokens, r.cache_write_tokens, r.cache_write_1h_tokens, r.output_tokens, r.reasoning_tokens, k.estimated,
    r.cost, k.rate, r.reserved, null as role
from requests r join kinds k on k.id = r.kind
where r.sent_at is not null
union all
select request_id, n, provider, model, status, http_status, error_code, retryable, started_at, latency_us, first_token_us,
    input_tokens, cached_input_tokens, cache_write_tokens, cache_write_1h_tokens, output_tokens, reasoning_tokens, estimated,
    cost, rate, reserved, role
from attempts;
