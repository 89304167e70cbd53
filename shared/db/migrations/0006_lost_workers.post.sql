drop function job_claim_v1(text, jsonb);
