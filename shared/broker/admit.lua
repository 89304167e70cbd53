-- Lets a job pass its rate limits, or says when its turn is. It passes all of them or none, so that no slot is wasted.
-- KEYS, three for each limit: jobs that passed (by time), jobs that wait (in order), the time at which each of those returns.
-- ARGV: job, priority, grace (ms), then for each limit: limit, window (ms).
-- Returns {ms to wait, or 0; the number of the limit that requires it, counted from 1}.
--
-- A moving window: wherever it begins, it never contains more than `limit` jobs. A refused job is queued by priority and then
-- by age, with the time at which a slot is free for it: ten thousand waiting jobs return one by one and find theirs, and a
-- later job of a better priority goes first. A reserved slot expires `grace` ms after its time.
-- Time is Redis' own: the clocks of the workers' machines may differ.
local job, priority, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call("time")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local DAY = 86400000 -- ms for which the waiting jobs are kept after the last one joined
local PRIORITY_STEP = 1125899906842624 -- 2^50: every job's id is smaller, and a double holds eight times that exactly

local function wait(passed, waiting, due, limit, window)
    redis.call("zremrangebyscore", passed, "-inf", now - window)
    for _, expired in ipairs(redis.call("zrangebyscore", due, "-inf", now - grace, "limit", 0, 1000)) do
        redis.call("zrem", waiting, expired)
        redis.call("zrem", due, expired)
    end
    -- An eviction took one of the two: waiting jobs join again when they return.
    if redis.call("zcard", waiting) ~= redis.call("zcard", due) then redis.call("del", waiting, due) end
    redis.call("zadd", waiting, priority * PRIORITY_STEP + tonumber(job), job)
    local used = redis.call("zcard", passed)
    local ahead = redis.call("zrank", waiting, job) - (limit - used)
    if ahead < 0 then return 0 end
    -- Slots become free in the order in which they were used, and `limit` of them again a window later. More of them are used
    -- than there are, where the limit was lowered.
    local rounds = math.max(0, math.ceil((ahead + 1 - math.max(used, limit)) / limit))
    local slot = ahead - rounds * limit
    local used_at = redis.call("zrange", passed, slot, slot, "withscores")[2] or now
    return math.max(1, used_at + window * (1 + rounds) - now)
end

local longest, limiting = 0, 0
for i = 1, #KEYS / 3 do
    local ms = wait(KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i], tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3]))
    if ms > longest then longest, limiting = ms, i end
end
for i = 1, #KEYS / 3 do
    local passed, waiting, due, window = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i], ARGV[2 * i + 3]
    if longest == 0 then
        redis.call("zrem", waiting, job)
        redis.call("zrem", due, job)
        redis.call("zadd", passed, now, job .. "@" .. clock[1] .. clock[2])
        redis.call("pexpire", passed, window)
    else
        redis.call("zadd", due, now + longest, job)
        redis.call("pexpire", due, DAY)
        redis.call("pexpire", waiting, DAY)
    end
end
return {longest, limiting}
