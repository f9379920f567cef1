-- Virtual keys and the projects they belong to, as in SQLite: of a secret only the hash is stored (BLAKE3, hexadecimal).
--
-- Texts that are ordered or compared as ranges are collated as bytes ("C"), as SQLite does, whatever language the database has.
create table projects (
    name text collate "C" primary key,
    created_at bigint not null
);

create table keys (
    id text collate "C" primary key,
    name text not null,
    project text collate "C" not null references projects (name),
    role text not null,
    models text,
    requests_per_minute bigint,
    tags text not null,
    hash text not null,
    old_hash text,
    old_until bigint,
    env_hash text,
    created_at bigint not null,
    expires_at bigint,
    revoked_at bigint
);
