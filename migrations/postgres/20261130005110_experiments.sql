-- Experiments: what was asked for (spec, JSON), where each stands, and what was decided last. Times are microseconds, the share
-- is in millionths. Their requests stand in the ledger.
create table experiments (
    name text collate "C" primary key,
    state text not null,
    spec text not null,
    salt text not null,
    share bigint not null,
    off text not null,
    is_promoted boolean not null,
    decided_at bigint,
    decided_arm text,
    reason text not null,
    created_at bigint not null,
    started_at bigint,
    counted_from bigint,
    ended_at bigint,
    key_id text not null,
    author text not null,
    is_admin boolean not null
);
