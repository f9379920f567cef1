-- The ledger: a row for each request, one for each upstream attempt, and hourly sums of them, written together by one writer.
--
-- Keys are UUIDv7 texts, which sort by time, so the rows need no index on time and new ones go to the right edge of the tree.
-- Amounts are nano-dollars, times are microseconds.
create table requests (
    id text primary key,
    started_at bigint not null,
    project text not null,
    key_id text not null,
    user_id text,
    session text,
    tags text,
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
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    estimated bigint not null,
    cost bigint,
    unpriced bigint not null,
    saved bigint not null,
    latency_us bigint,
    first_token_us bigint,
    overhead_us bigint,
    trace text
) without rowid;

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
    project text not null,
    key_id text not null,
    user_id text,
    provider text,
    model text,
    route text,
    prompt text,
    version bigint,
    status text not null,
    error_code text,
    cache text,
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
