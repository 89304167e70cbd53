-- Desks of the last release took conversations with it.
drop function conversation_take_v1(bigint, bigint, bigint);
