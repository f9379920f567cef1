-- Calls that came with an idempotency-key, so that each is made once: `name` is the BLAKE3 hash of virtual key, endpoint and
-- idempotency-key, `fingerprint` that of the request. A row is written before the call goes out. It is `running` until its
-- answer is `kept`, or was too `large` to be; a `running` row of no running call was cut off by the end of its process.
create table idempotency (
    id integer primary key,
    name blob not null unique,
    fingerprint blob not null,
    request_id text not null,
    at bigint not null,
    state text not null,
    model text,
    is_stream boolean not null default false,
    body blob
);

create index idempotency_at on idempotency (at);
