-- An answer that a simulated provider made up is marked as such whenever it is sent again.
alter table idempotency add column simulated boolean not null default false;
