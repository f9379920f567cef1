-- Files that callers leave here, and the batches that run from them. A file lies in pieces of one size, so that no statement holds
-- the database for long, a line is found by its place, and a backup is still one file.
--
-- Times are microseconds. A file counts only when it is complete; what a crash left half written is purged at the next start.
create table files (
    id text primary key,
    project text not null,
    key_id text not null,
    purpose text not null,
    filename text not null,
    bytes bigint not null,
    created_at bigint not null,
    expires_at bigint,
    complete bigint not null
) without rowid;

create index files_by_project on files (project, id);

create table file_chunks (
    file_id text not null,
    n bigint not null,
    content blob not null,
    primary key (file_id, n)
);

-- `outcome` is what a batch that is finalizing will end as.
create table batches (
    id text primary key,
    project text not null,
    key_id text not null,
    endpoint text not null,
    input_file_id text not null,
    output_file_id text,
    error_file_id text,
    output_expires_after bigint,
    metadata text,
    status text not null,
    outcome text,
    errors text,
    total bigint not null,
    completed bigint not null,
    failed bigint not null,
    input_tokens bigint not null,
    cached_input_tokens bigint not null,
    output_tokens bigint not null,
    reasoning_tokens bigint not null,
    created_at bigint not null,
    expires_at bigint not null,
    in_progress_at bigint,
    finalizing_at bigint,
    completed_at bigint,
    failed_at bigint,
    expired_at bigint,
    cancelling_at bigint,
    cancelled_at bigint
) without rowid;

create index batches_by_project on batches (project, id);
create index batches_by_input on batches (input_file_id);

-- The lines of batches that have not ended: where each lies in its file. `state` is null until it has a result, then 1 where it
-- was answered and 0 where it failed. `handover` and `handed` are set where a provider's own batch API runs the line.
create table batch_lines (
    batch_id text not null,
    n bigint not null,
    custom_id text not null,
    start bigint not null,
    length bigint not null,
    state bigint,
    handover bigint,
    handed text,
    primary key (batch_id, n)
) without rowid;

create unique index batch_lines_by_custom_id on batch_lines (batch_id, custom_id);

-- What of batches was handed to providers' own batch APIs. `submitted_at` is written before anything is sent, so that nothing is
-- sent twice: after a crash the provider is asked what became of it.
create table batch_handovers (
    batch_id text not null,
    n bigint not null,
    provider text not null,
    path text not null,
    content_id text not null,
    lines bigint not null,
    remote_file_id text,
    remote_id text,
    stage text not null,
    submitted_at bigint,
    primary key (batch_id, n)
) without rowid;

-- The results of lines, until they are written into the batch's files.
create table batch_results (
    batch_id text not null,
    n bigint not null,
    content blob not null,
    primary key (batch_id, n)
);
