-- What a model at an address does not take, learnt from its refusals.
create table provider_profile (
    base_url  text not null,
    model     text not null check (octet_length(base_url || model) <= 2000), -- both fit into an index
    lessons   jsonb not null,
    learnt_at timestamptz not null default now(),
    primary key (base_url, model)
);
