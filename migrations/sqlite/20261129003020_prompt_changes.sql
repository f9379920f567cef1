-- Prompts that are archived answer no calls and stand in no list; one that was renamed leaves its old name behind, without versions,
-- so that its callers are told the new one. Both are written down beside the moves of labels.
alter table prompts add column archived_at bigint;
alter table prompts add column renamed_to text;

create table prompt_changes (
    seq integer primary key,
    name text not null,
    -- archived, unarchived or renamed
    change text not null,
    renamed_from text,
    reason text not null,
    key_id text not null,
    author text not null,
    at bigint not null
);

create index prompt_changes_by_name on prompt_changes (name, seq);
