drop function send_claim_v1(text, jsonb);
drop function job_claim_v2(text, jsonb);
