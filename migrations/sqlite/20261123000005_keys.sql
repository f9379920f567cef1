-- Virtual keys and the projects they belong to. Of a secret only the hash is kept (BLAKE3, hexadecimal); `old_hash`
-- is the one before a rotation with grace, and `env_hash` remembers which FULCRUM_ADMIN_KEY made the key, so that
-- the same value does not bring a revoked or rotated key back. A revoked key's row stays, since the ledger names it.
create table projects (
    name text primary key,
    created_at bigint not null
);

create table keys (
    id text primary key,
    name text not null,
    project text not null references projects (name),
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
