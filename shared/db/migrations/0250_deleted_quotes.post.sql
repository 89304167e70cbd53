drop function message_change_v1;
