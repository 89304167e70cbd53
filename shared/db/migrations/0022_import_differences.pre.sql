-- An import says how many items it added and removed.
alter table knowledge_document
    add column items_added integer not null default 0 check (items_added >= 0),
    add column items_removed integer not null default 0 check (items_removed >= 0);
