-- A chatbot has more than one provider. Its first stays where workers of the last release read it.
alter table chatbot add column provider_timeout real check (provider_timeout between 1 and 300);

-- The providers that are asked when a chatbot's first one fails, in this order (shared/ai/failover.py). The first is the chatbot's
-- own columns.
create table chatbot_provider (
    id          bigint generated always as identity primary key,
    chatbot_id  bigint not null references chatbot on delete cascade,
    position    smallint not null check (position between 2 and 5),
    -- Both null: OPENAI_BASE_URL and OPENAI_API_KEY of the environment, whose key never goes anywhere else.
    base_url    text check (url_is_normalized(base_url)),
    api_key     text, -- encrypted
    model       text not null check (model <> ''),
    -- Seconds for a call. Null: AI_TIMEOUT_SECONDS.
    timeout     real check (timeout between 1 and 300),
    -- Null: the chatbot's.
    temperature real check (temperature between 0 and 2),
    max_tokens  integer check (max_tokens between 1 and 32000),
    unique (chatbot_id, position),
    constraint chatbot_provider_own check ((base_url is null) = (api_key is null))
);
