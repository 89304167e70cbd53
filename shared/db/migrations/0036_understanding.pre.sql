-- Voice notes become words and pictures are seen, where a chatbot has what it takes.
alter table chatbot
    add column transcription_model text check (transcription_model <> ''),
    add column transcription_base_url text check (url_is_normalized(transcription_base_url)),
    add column transcription_api_key text,
    add column transcription_language text check (transcription_language ~ '^[a-z]{2,3}$'),
    add column can_see boolean not null default false,
    add column unsupported_hands_over boolean not null default false,
    add constraint chatbot_own_transcription check ((transcription_base_url is null) = (transcription_api_key is null));
