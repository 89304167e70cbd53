-- Lets a job through some rate limits, or tells it when its turn is. All limits or none: a place taken in one is used.
-- KEYS, three of each limit: what was let through (by time), who waits (in their order), when each of those comes again.
-- ARGV: job, priority, patience (ms), then of each limit: most, window (ms).
-- Returns {ms to wait, or 0; the limit that says so, counted from 1}.
--
-- A moving window: wherever it begins, it never sees more than `most`. Who is refused stays in line, by priority and then
-- by age, with the time at which a place is free for it: ten thousand who wait come one by one and find theirs, and who
-- comes later with a better priority goes first. Who does not come within `patience` of its time holds up nobody.
-- Time is Redis' own: the clocks of the workers' machines may differ.
local job, priority, patience = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local told = redis.call("time")
local now = told[1] * 1000 + math.floor(told[2] / 1000)
local DAY = 86400000 -- a line is kept no longer than this after the last that joined it
local BEHIND = 1125899906842624 -- 2^50: every job's number is smaller, and a double keeps eight times that exactly

local function wait(passed, line, due, most, window)
    redis.call("zremrangebyscore", passed, "-inf", now - window)
    for _, gone in ipairs(redis.call("zrangebyscore", due, "-inf", now - patience, "limit", 0, 1000)) do
        redis.call("zrem", line, gone)
        redis.call("zrem", due, gone)
    end
    -- Redis was made to forget one of the two: who waits joins again when it comes.
    if redis.call("zcard", line) ~= redis.call("zcard", due) then redis.call("del", line, due) end
    redis.call("zadd", line, priority * BEHIND + tonumber(job), job)
    local used = redis.call("zcard", passed)
    local before = redis.call("zrank", line, job) - (most - used)
    if before < 0 then return 0 end
    -- Places free in the order in which they were taken, and again a window later.
    local place = before % most
    local taken = redis.call("zrange", passed, place, place, "withscores")[2] or now
    return math.max(1, taken + window * (1 + math.floor(before / most)) - now)
end

local longest, by = 0, 0
for i = 1, #KEYS / 3 do
    local ms = wait(KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i], tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 3]))
    if ms > longest then longest, by = ms, i end
end
for i = 1, #KEYS / 3 do
    local passed, line, due, window = KEYS[3 * i - 2], KEYS[3 * i - 1], KEYS[3 * i], ARGV[2 * i + 3]
    if longest == 0 then
        redis.call("zrem", line, job)
        redis.call("zrem", due, job)
        redis.call("zadd", passed, now, job .. "@" .. told[1] .. told[2])
        redis.call("pexpire", passed, window)
    else
        redis.call("zadd", due, now + longest, job)
        redis.call("pexpire", due, DAY)
        redis.call("pexpire", line, DAY)
    end
end
return {longest, by}
