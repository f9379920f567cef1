-- The arm that an experiment gave a request, and with which probability (propensity, in millionths); unit is a number for whom the
-- request is of, so that an experiment counts each unit once. Only requests of experiments have them, so the indexes are of those.

alter table kinds add column experiment text;
alter table kinds add column arm text;
alter table kinds add column propensity bigint;
alter table requests add column unit bigint;

create index kinds_by_experiment on kinds (experiment) where experiment is not null;
create index requests_by_unit on requests (kind, unit) where unit is not null;

drop view full_requests;
create view full_requests as
select r.id, r.started_at, k.project, k.key_id, r.user_id, r.session, r.tags, k.endpoint, k.requested_model, k.provider, k.model,
    k.route, k.prompt, k.version, k.experiment, k.arm, k.stream, k.status, k.http_status, k.error_code, k.cache, r.input_tokens,
    r.cached_input_tokens, r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, k.estimated, r.cost, k.unpriced, r.saved,
    r.latency_us, r.first_token_us, r.overhead_us, coalesce(r.trace, k.trace) as trace, k.purpose, r.of,
    k.propensity, r.unit
from requests r join kinds k on k.id = r.kind;

drop view full_rollups;
create view full_rollups as
select s.id, s.hour, k.project, k.key_id, s.user_id, k.provider, k.model, k.route, k.prompt, k.version, k.experiment, k.arm, k.status, k.error_code,
    k.cache, k.estimated, k.purpose, s.requests, s.priced, s.unpriced, s.input_tokens, s.cached_input_tokens,
    s.cache_write_tokens, s.output_tokens, s.reasoning_tokens, s.cost, s.saved, s.latency, s.first_token, s.overhead
from rollups s join kinds k on k.id = s.kind;
