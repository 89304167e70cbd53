-- API keys that may invite people, make keys and connect channels, where an owner wants one; none of those there are. And by which key
-- one was made: it ends with it.
alter table api_key
    add column manages boolean not null default false,
    add column made_by bigint references api_key on delete cascade;
create index api_key_made_by_idx on api_key (made_by) where made_by is not null;
