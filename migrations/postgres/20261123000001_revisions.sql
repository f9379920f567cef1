-- Counts changes by topic, so that a running gateway notices what another process changed
-- with one small query a second instead of reading whole tables.
create table revisions (
    topic text primary key,
    n bigint not null
);
