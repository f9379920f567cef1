-- Prompts: versions are immutable and numbered from 1; labels point at one version, or at a weighted set
-- of versions for a rollout, hence targets in rows of their own. Every move of a label stays in the history.
create table prompts (
    name text primary key,
    created_at bigint not null,
    last_used_at bigint,
    -- What the last import from files made or found, so that a restart neither adds versions nor moves labels.
    imported_version bigint,
    imported_hash text
);

create table prompt_versions (
    -- Grows with every version of any prompt: a running gateway reads only what is newer than it knows.
    seq integer primary key,
    name text not null references prompts (name),
    version bigint not null,
    hash text not null,
    content text not null,
    message text not null,
    key_id text not null,
    author text not null,
    created_at bigint not null,
    unique (name, version)
);

create table prompt_labels (
    name text not null references prompts (name),
    label text not null,
    protected boolean not null,
    updated_at bigint not null,
    primary key (name, label)
);

create table prompt_label_targets (
    name text not null,
    label text not null,
    version bigint not null,
    weight bigint not null,
    primary key (name, label, version),
    foreign key (name, label) references prompt_labels (name, label),
    foreign key (name, version) references prompt_versions (name, version)
);

create table prompt_label_history (
    seq integer primary key,
    name text not null,
    label text not null,
    -- Targets as JSON, [{"version": 3, "weight": 100}]; before is null for a new label.
    before text,
    after text not null,
    protected boolean not null,
    reason text not null,
    key_id text not null,
    author text not null,
    at bigint not null
);

create index prompt_label_history_by_label on prompt_label_history (name, label, seq);
