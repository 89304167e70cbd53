-- Puts messages on queues, in Dramatiq's own layout, and wakes whoever waits there.
-- KEYS: namespace. ARGV: wake channel prefix, then for each message: queue, id, data, place ("tail" or "head").
-- A message that is already carried (waiting or being worked on) stays as it is: putting it again changes nothing,
-- which is what lets the sweep put every job that should be there without looking first.
-- Who sleeps with room for more has found the queue empty: a queue that is not needs no wake-up. A delayed message
-- always does, for it may be due before the one that a sleeper waits for.
-- Returns how many were new.
local namespace, channel = KEYS[1], ARGV[1]
local new, woken = 0, {}
for i = 2, #ARGV, 4 do
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
