-- A page that is open while its conversation is erased hears of the next one: its revisions begin above all that it has seen.
alter table conversation alter column revision set default (extract(epoch from clock_timestamp()) * 1000000)::bigint;
