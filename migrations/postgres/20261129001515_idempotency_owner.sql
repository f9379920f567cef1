-- Whose a record is, as a number made of the project's name: each project has its share of what is stored. Records of before have none.
alter table idempotency add column owner bigint not null default 0;

create index idempotency_owner on idempotency (owner, at);
