-- Puts back messages that Redis carries in no place: not in a list, not in a worker's hands. A script that was refused in its
-- middle (by an ACL) leaves such behind, and so does whoever evicts or deletes a list.
-- KEYS: namespace. ARGV: wake channel prefix, then the queues. Returns the messages that came back, {{queue, id}, …}; or what was
-- wrong with a queue, when all have had their turn.
--
-- Each message is in one place, so the counts say whether one is in none. Only where they do are messages looked at one by one.
local namespace, channel, found, problem = KEYS[1], ARGV[1], {}, nil
local workers = redis.call("zrange", namespace .. ":__heartbeats__", 0, -1)

local function hands(name)
    local keys = {}
    for i, worker in ipairs(workers) do keys[i] = namespace .. ":__acks__." .. worker .. "." .. name end
    return keys
end

local function count(name)
    local list = namespace .. ":" .. name
    local known = redis.call("llen", list) + redis.call("zcard", list .. ".due")
    for _, acks in ipairs(hands(name)) do known = known + redis.call("scard", acks) end
    return known
end

local function strays(name)
    local list, carried, ids = namespace .. ":" .. name, {}, {}
    local places = {redis.call("lrange", list, 0, -1), redis.call("zrange", list .. ".due", 0, -1)}
    for _, acks in ipairs(hands(name)) do places[#places + 1] = redis.call("smembers", acks) end
    for _, place in ipairs(places) do
        for _, id in ipairs(place) do carried[id] = true end
    end
    for _, id in ipairs(redis.call("hkeys", list .. ".msgs")) do
        if not carried[id] then ids[#ids + 1] = id end
    end
    table.sort(ids, function(one, other) return #one < #other or (#one == #other and one < other) end) -- the oldest job first
    return ids
end

local function put_back(queue)
    local before = #found
    for _, name in ipairs({queue, queue .. ".DQ"}) do
        local list = namespace .. ":" .. name
        if redis.call("hlen", list .. ".msgs") > count(name) then
            for _, id in ipairs(strays(name)) do
                redis.call("rpush", list, id)
                found[#found + 1] = {queue, id}
            end
        end
    end
    if #found > before then redis.call("publish", channel .. queue, "1") end
end

for i = 2, #ARGV do
    local is_done, why = pcall(put_back, ARGV[i]) -- a key of another type, say
    if not is_done then problem = problem or why end
end
if problem then return redis.error_reply(type(problem) == "table" and problem.err or problem) end
return found
