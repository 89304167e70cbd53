-- What browsers can never send, and what would change the header that it becomes part of, goes.
update chatbot set allowed_origins = array(
    select lower(rtrim(origin, '/')) from unnest(allowed_origins) origin
    where lower(rtrim(origin, '/')) ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$')
where allowed_origins <> '{}';
alter table chatbot add constraint chatbot_allowed_origins_check check (
        allowed_origins = '{}' or array_ndims(allowed_origins) = 1 and array_to_string(allowed_origins, ' ', '')
            ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?( https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?)*$');
