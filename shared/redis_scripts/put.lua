-- Forgets messages that a worker has done with, then puts messages on queues, in Dramatiq's own layout, and wakes whoever
-- waits there.
-- KEYS: namespace. ARGV: wake channel prefix, worker id, now (ms), how many are done, queue and id of each of those, then
-- for each new message: queue, id, data, place ("tail" or "head").
-- A message that is already carried (waiting or being worked on) stays as it is: putting it again changes nothing,
-- which is what lets the sweep put every job that should be there without looking first.
-- Who sleeps with room for more has found the queue empty: a queue that is not needs no wake-up. A delayed message
-- always does, for it may be due before the one that a sleeper waits for.
-- Returns how many were new.
local namespace, channel, worker, done = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4])
if done > 0 then redis.call("zadd", namespace .. ":__heartbeats__", ARGV[3], worker) end
for i = 5, 4 + 2 * done, 2 do
    local queue, id = ARGV[i], ARGV[i + 1]
    redis.call("srem", namespace .. ":__acks__." .. worker .. "." .. queue, id)
    redis.call("hdel", namespace .. ":" .. queue .. ".msgs", id)
end
local new, woken = 0, {}
for i = 5 + 2 * done, #ARGV, 4 do
    local queue, id, data, place = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local name = namespace .. ":" .. queue
    if redis.call("hsetnx", name .. ".msgs", id, data) == 1 then
        local length = redis.call(place == "head" and "lpush" or "rpush", name, id)
        local served, delayed = string.gsub(queue, "%.DQ$", "")
        if length == 1 or delayed == 1 then woken[served] = true end
        new = new + 1
    end
end
for queue in pairs(woken) do
    redis.call("publish", channel .. queue, "1")
end
return new
