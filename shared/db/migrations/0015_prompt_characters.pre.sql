-- A chatbot may have budgets of its own for its prompts.
alter table chatbot
    add column knowledge_characters integer check (knowledge_characters between 0 and 200000),
    add column history_characters integer check (history_characters between 0 and 200000);
