-- Puts back messages that Redis carries in no place: not in a list, not in a worker's hands. A script that was refused in its
-- middle (by an ACL) leaves such behind, and so does whoever evicts or deletes a list.
-- KEYS: namespace. ARGV: wake channel prefix, then the queues. Returns the messages that came back: {{queue, id}, …}.
--
-- Each message is in one place, so the counts say whether one is in none. Only where they do are messages looked at one by one.
local namespace, channel, found, woken = KEYS[1], ARGV[1], {}, {}
local workers = redis.call("zrange", namespace .. ":__heartbeats__", 0, -1)

local function hands(queue)
    local keys = {}
    for i, worker in ipairs(workers) do keys[i] = namespace .. ":__acks__." .. worker .. "." .. queue end
    return keys
end

local function count(name, queue)
    local known = redis.call("llen", name) + redis.call("zcard", name .. ".due")
    for _, acks in ipairs(hands(queue)) do known = known + redis.call("scard", acks) end
    return known
end

local function strays(name, queue)
    local carried, ids = {}, {}
    local places = {redis.call("lrange", name, 0, -1), redis.call("zrange", name .. ".due", 0, -1)}
    for _, acks in ipairs(hands(queue)) do places[#places + 1] = redis.call("smembers", acks) end
    for _, place in ipairs(places) do
        for _, id in ipairs(place) do carried[id] = true end
    end
    for _, id in ipairs(redis.call("hkeys", name .. ".msgs")) do
        if not carried[id] then ids[#ids + 1] = id end
    end
    table.sort(ids, function(one, other) return #one < #other or (#one == #other and one < other) end) -- the oldest job first
    return ids
end

for i = 2, #ARGV do
    for _, queue in ipairs({ARGV[i], ARGV[i] .. ".DQ"}) do
        local name = namespace .. ":" .. queue
        if redis.call("hlen", name .. ".msgs") > count(name, queue) then
            for _, id in ipairs(strays(name, queue)) do
                redis.call("rpush", name, id)
                found[#found + 1], woken[ARGV[i]] = {ARGV[i], id}, true
            end
        end
    end
end
for queue in pairs(woken) do redis.call("publish", channel .. queue, "1") end
return found
