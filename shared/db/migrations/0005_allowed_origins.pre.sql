-- What browsers can never send goes; the post file forbids it, when no old worker is left that accepts it.
update chatbot set allowed_origins = array(
    select lower(rtrim(origin, '/')) from unnest(allowed_origins) origin
    where lower(rtrim(origin, '/')) ~ '^https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$')
where allowed_origins <> '{}';
