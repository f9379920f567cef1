-- The ledger: a row for each request, one for each upstream attempt, and hourly sums of them, written together by one writer.
--
-- Keys are UUIDv7 texts, which sort by time, so the rows need no index on time and new ones go to the right edge of the tree.
-- Amounts are nano-dollars, times are microseconds. The views at the end give whole rows; read those.

-- What many requests have in common. A writer numbers its own, and begins anew each hour: no request of a later hour refers to
-- one, so the retention can delete them. Several may say the same.
create table kinds (
    id bigint primary key,
    hour bigint not null,
    project text not null,
    key_id text not null,
    endpoint text not null,
    requested_model text not null,
    provider text,
    model text,
    route text,
    prompt text,
    version bigint,
    stream bigint not null,
    status text not null,
    http_status bigint,
    error_code text,
    cache text,
    estimated bigint not null,
    unpriced bigint not null,
    rate text
) without rowid;

-- The last four tell of the only attempt, where all else of it is as the request; sent_at is null where attempts have rows.
create table requests (
    id text primary key,
    kind bigint not null,
    started_at bigint not null,
    user_id text,
    session text,
    tags text,
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    cost bigint,
    saved bigint not null,
    latency_us bigint,
    first_token_us bigint,
    overhead_us bigint,
    trace text,
    sent_at bigint,
    sent_latency_us bigint,
    sent_first_token_us bigint,
    reserved bigint
) without rowid;

-- Attempts that their request's row does not hold.
create table attempts (
    request_id text not null,
    n bigint not null,
    provider text not null,
    model text not null,
    status text not null,
    http_status bigint,
    error_code text,
    retryable bigint not null,
    started_at bigint not null,
    latency_us bigint,
    first_token_us bigint,
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    estimated bigint not null,
    cost bigint,
    rate text,
    reserved bigint not null,
    primary key (request_id, n)
) without rowid;

-- Only where the configuration says that bodies are kept.
create table bodies (
    request_id text primary key,
    request blob not null,
    response blob not null
) without rowid;

-- Several rows may stand for the same hour and groups: a writer that starts, or that let go of a row, begins another,
-- so that it never has to read one back. Whoever reads adds them up. The last three hold histograms.
create table rollups (
    id bigint primary key,
    hour bigint not null,
    kind bigint not null,
    user_id text,
    requests bigint not null,
    priced bigint not null,
    unpriced bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    cache_write_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    cost bigint not null,
    saved bigint not null,
    latency blob not null,
    first_token blob not null,
    overhead blob not null
) without rowid;

create index rollups_by_hour on rollups (hour);

-- How far a request's id and its start lie apart at most: a clock that is set back must not hide a row from a report.
create table ledger_skew (
    id bigint primary key,
    micros bigint not null
);

create view full_requests as
select r.id, r.started_at, k.project, k.key_id, r.user_id, r.session, r.tags, k.endpoint, k.requested_model, k.provider, k.model,
    k.route, k.prompt, k.version, k.stream, k.status, k.http_status, k.error_code, k.cache, r.input_tokens,
    r.cached_input_tokens, r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, k.estimated, r.cost, k.unpriced, r.saved,
    r.latency_us, r.first_token_us, r.overhead_us, r.trace
from requests r join kinds k on k.id = r.kind;

create view full_attempts as
select r.id as request_id, 1 as n, k.provider, k.model, k.status, k.http_status, k.error_code, 0 as retryable,
    r.sent_at as started_at, r.sent_latency_us as latency_us, r.sent_first_token_us as first_token_us, r.input_tokens,
    r.cached_input_tokens, r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, k.estimated, r.cost, k.rate, r.reserved
from requests r join kinds k on k.id = r.kind
where r.sent_at is not null
union all
select request_id, n, provider, model, status, http_status, error_code, retryable, started_at, latency_us, first_token_us,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated, cost, rate, reserved
from attempts;

create view full_rollups as
select s.id, s.hour, k.project, k.key_id, s.user_id, k.provider, k.model, k.route, k.prompt, k.version, k.status, k.error_code,
    k.cache, s.requests, s.priced, s.unpriced, s.input_tokens, s.cached_input_tokens, s.cache_write_tokens, s.output_tokens,
    s.reasoning_tokens, s.cost, s.saved, s.latency, s.first_token, s.overhead
from rollups s join kinds k on k.id = s.kind;
