-- Open dead letters in their order: a page of them, or those that arrived after all, without looking at all closed ones.
create index dead_letter_newest_idx on dead_letter (id) where state = 'open';
