-- Nothing searches by it: the words of an item are in knowledge_word. The post file drops it.
comment on column knowledge_item.vector is 'Read by nothing; goes when no worker of the last release is left.';
