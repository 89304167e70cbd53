
-- A stage that only talks to PostgreSQL closes its jobs in the statement that does their work.

-- What jobs of one queue leave behind that the statement which calls this has closed itself: a stage that only talks to
-- PostgreSQL claims nothing (shared/jobs/single_statement.py). `p_keys`: their ordering keys; the rest as job_finish has it.
create function job_pass(p_queue text, p_keys text[], p_next jsonb, p_events jsonb, p_seen boolean)
returns jsonb language plpgsql as $$
begin
    if not p_seen then
        perform set_config('synchronous_commit', 'off', true);
    end if;
    -- After the closing: who joined the line before this saw its head, and is found now.
    perform job_lock(p_queue, p_keys);
    return job_follow_up(p_next, p_events) || job_release(p_queue, p_keys);
end $$;
