-- Processes of the last release renew with it.
drop function job_renew_leases_v1(bigint[], integer[], float8);
