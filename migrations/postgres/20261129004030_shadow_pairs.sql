-- A caller's answer and a candidate's to the same request, for comparison. They go with their request: by retention, or erased.
create table shadow_pairs (
    request_id text collate "C" primary key,
    shadow_id text collate "C" not null,
    project text not null,
    route text not null,
    model text not null,
    shadow_model text not null,
    answer bytea not null,
    shadow_answer bytea,
    error_code text,
    is_cut bigint not null,
    cost bigint,
    shadow_cost bigint,
    latency_us bigint not null,
    shadow_latency_us bigint not null,
    stored_at bigint not null
);

create index shadow_pairs_by_shadow on shadow_pairs (shadow_id);
create index shadow_pairs_by_route on shadow_pairs (route, request_id);
