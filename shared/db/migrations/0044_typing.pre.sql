-- Customers see that their message was read, and that somebody types.
alter table chatbot add column shows_typing boolean not null default true;
