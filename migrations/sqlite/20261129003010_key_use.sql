-- When a key was last used, written down every few seconds, so that keys that nobody needs can be found.
alter table keys add column last_used_at bigint;
