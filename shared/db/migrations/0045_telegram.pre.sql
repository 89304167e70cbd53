-- Telegram is a channel.
insert into channel (name, send_queue) values ('telegram', 'telegram-send');
create table telegram_bot (
    id             bigint generated always as identity primary key,
    chatbot_id     bigint not null unique references chatbot on delete cascade,
    bot_id         text not null unique check (bot_id ~ '^[0-9]+$'),
    username       text not null,
    token          text not null,
    webhook_secret text not null,
    polling        boolean not null default false,
    active         boolean not null default true
);
