-- Why requests went where they went is mostly the same for many: it stands with what they have in common. Rows that were written
-- before hold it themselves.

alter table kinds add column trace text;

drop view full_requests;

create view full_requests as
select r.id, r.started_at, k.project, k.key_id, r.user_id, r.session, r.tags, k.endpoint, k.requested_model, k.provider, k.model,
    k.route, k.prompt, k.version, k.stream, k.status, k.http_status, k.error_code, k.cache, r.input_tokens,
    r.cached_input_tokens, r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, k.estimated, r.cost, k.unpriced, r.saved,
    r.latency_us, r.first_token_us, r.overhead_us, coalesce(r.trace, k.trace) as trace
from requests r join kinds k on k.id = r.kind;
