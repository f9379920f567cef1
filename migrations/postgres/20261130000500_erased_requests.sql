-- Requests whose texts were erased while a call on their account may still run: what that brings is not stored. A mark is deleted
-- once no such call can run any more.
create table erased_requests (
    request_id text collate "C" primary key,
    erased_at bigint not null
);
