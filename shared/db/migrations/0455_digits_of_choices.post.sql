drop function choice_named_v1(jsonb, text);
