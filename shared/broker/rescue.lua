-- Returns the messages of dead workers to the front of their queues, for they are the oldest.
-- Forgets dead-lettered messages (they hold no more than a job's id) that are too old for the dashboard.
-- KEYS: namespace. ARGV: age (ms) of a heartbeat that counts as dead, age (ms) of a dead letter to forget, wake channel prefix,
-- then the queues. Returns the messages that came back: {{queue, id}, …}.
local namespace, channel, clock = KEYS[1], ARGV[3], redis.call("time")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local limit, expired = now - tonumber(ARGV[1]), now - tonumber(ARGV[2])
local heartbeats, rescued = namespace .. ":__heartbeats__", {}
for _, worker in ipairs(redis.call("zrangebyscore", heartbeats, 0, limit)) do
    for i = 4, #ARGV do
        local name = namespace .. ":" .. ARGV[i]
        local acks = namespace .. ":__acks__." .. worker .. "." .. ARGV[i]
        local ids = redis.call("smembers", acks)
        for _, id in ipairs(ids) do
            if redis.call("hexists", name .. ".msgs", id) == 1 then
                redis.call("lpush", name, id)
                rescued[#rescued + 1] = {ARGV[i], id}
            end
        end
        redis.call("del", acks)
        redis.call("hdel", namespace .. ":__waiting__." .. ARGV[i], worker)
        if #ids > 0 then redis.call("publish", channel .. ARGV[i], "1") end
    end
    redis.call("zrem", heartbeats, worker)
end
for i = 4, #ARGV do
    local dead = namespace .. ":" .. ARGV[i] .. ".XQ"
    for _, id in ipairs(redis.call("zrangebyscore", dead, 0, expired, "limit", 0, 1000)) do
        redis.call("zrem", dead, id)
        redis.call("hdel", dead .. ".msgs", id)
    end
end
return rescued
