-- What people and programs report of requests: whether an answer served, how well, in words, or as it should have been. What is of a
-- session stands at the last request that the session had by then, so that reports, retention and erasure find it as the rest.
create table feedback (
    id text primary key,
    request_id text not null,
    -- null where it is of the request alone
    session text,
    project text not null,
    key_id text not null,
    metric text not null,
    -- boolean, float, comment or demonstration
    kind text not null,
    number double precision,
    words text,
    at bigint not null
) without rowid;

-- One of each metric: a later one takes the place of an earlier one.
create unique index feedback_of_request on feedback (request_id, metric) where session is null;
create unique index feedback_of_session on feedback (project, session, metric) where session is not null;

create index feedback_by_request on feedback (request_id) where session is not null;
create index feedback_by_metric on feedback (metric, request_id);
create index feedback_by_time on feedback (at, id);

-- The requests of a session, of those that have one.
create index requests_by_session on requests (session, id) where session is not null;
