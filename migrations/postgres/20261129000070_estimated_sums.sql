-- Reports say how much of a sum is estimated, which what requests have in common tells.
drop view full_rollups;
create view full_rollups as
select s.id, s.hour, k.project, k.key_id, s.user_id, k.provider, k.model, k.route, k.prompt, k.version, k.status, k.error_code,
    k.cache, k.estimated, s.requests, s.priced, s.unpriced, s.input_tokens, s.cached_input_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost, s.saved, s.latency, s.first_token, s.overhead
from rollups s join kinds k on k.id = s.kind;
