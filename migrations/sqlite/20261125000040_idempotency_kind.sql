-- An answer kept for an idempotency-key may be neither JSON nor events: its content-type then.
alter table idempotency add column kind text;
