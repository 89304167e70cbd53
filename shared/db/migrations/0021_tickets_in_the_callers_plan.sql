-- Declared as its clock is, it becomes a part of the caller's plan; else it was planned anew for each ticket.
alter function job_ticket(job) volatile;
