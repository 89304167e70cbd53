-- Nothing yet: front doors of the last release still write and look for the ids that the post file changes.
select;
