-- A knowledge base is deleted with its gaps, those that are closed as well, without reading everybody's.
create index knowledge_gap_base_idx on knowledge_gap (knowledge_base_id);
