-- Items to evaluate and to train with. A version is what was imported up to it, and nothing takes an item out of it but the erasure of
-- what it was collected from. An import is written piece by piece; its items are of no version until all of them are there.
create table datasets (
    id text collate "C" primary key,
    project text not null,
    name text not null,
    key_id text not null,
    created_at bigint not null
);

create unique index datasets_by_name on datasets (project, name);

create table dataset_versions (
    dataset_id text collate "C" not null,
    version bigint not null,
    import_id text collate "C" not null,
    -- import or collect
    source text not null,
    -- JSON: what was asked for, and what was left out
    note text,
    key_id text not null,
    at bigint not null,
    primary key (dataset_id, version)
);

create unique index dataset_versions_by_import on dataset_versions (import_id);

create table dataset_items (
    import_id text collate "C" not null,
    n bigint not null,
    -- the item as JSON
    body text not null,
    split text not null,
    -- SHA-256 of the input, by which equal ones are found
    input_hash text not null,
    request_id text,
    primary key (import_id, n)
);

-- What is counted of a version, without its texts.
create index dataset_items_by_part on dataset_items (import_id, split, input_hash);

create index dataset_items_by_request on dataset_items (request_id) where request_id is not null;
