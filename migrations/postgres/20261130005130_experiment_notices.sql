-- Messages about decisions of experiments that a webhook has not taken yet; written with the decision, removed once they arrived.
create table experiment_notices (
    id text collate "C" primary key,
    body text not null,
    tries bigint not null,
    next_at bigint not null
);
