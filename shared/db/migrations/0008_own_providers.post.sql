-- URLs are stored as they are called, and a chatbot has a provider of its own with both of its columns, or none.

-- Whether a URL is one as shared/http/urls.py makes it: scheme and host in lower case, no credentials, printable ASCII.
create function url_is_normalized(url text) returns boolean language sql immutable parallel safe as $$
    select url ~ '^https?://[^A-Z/?#@\\]+([/?][^#\\]*)?$' and url ~ '^[!-~]+$'
$$;

update webhook_endpoint set url = lower(substring(url from '^https?://[^/?#]*'))
    || replace(substring(url from '^https?://[^/?#]*([^#]*)'), '\', '%5C')
where not url_is_normalized(url);
update chatbot set provider_base_url = lower(substring(provider_base_url from '^https?://[^/?#]*'))
    || substring(provider_base_url from '^https?://[^/?#]*([^#]*)')
where not url_is_normalized(provider_base_url);

alter table webhook_endpoint drop constraint webhook_endpoint_url_check,
    add constraint webhook_endpoint_url_check check (url_is_normalized(url)) not valid;
alter table chatbot drop constraint chatbot_provider_base_url_check,
    add constraint chatbot_provider_base_url_check check (url_is_normalized(provider_base_url)) not valid,
    add constraint chatbot_own_provider check ((provider_base_url is null) = (provider_api_key is null)) not valid;

do $$
begin
    alter table webhook_endpoint validate constraint webhook_endpoint_url_check;
    alter table chatbot validate constraint chatbot_provider_base_url_check;
exception when check_violation then
    raise warning 'Some URLs of webhook endpoints or providers cannot be called; they fail as they did.';
end $$;
do $$
begin
    alter table chatbot validate constraint chatbot_own_provider;
exception when check_violation then
    raise warning 'Some chatbots have provider_base_url or provider_api_key and not both; set both, or none. They answer with their fallback message.';
end $$;
