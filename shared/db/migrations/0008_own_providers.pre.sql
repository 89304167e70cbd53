-- Nothing has to come first: the post file tightens what older workers may still write.
select 1;
