-- Forgets messages that a worker has finished, then puts messages on queues, in Dramatiq's own layout, and wakes workers.
-- KEYS: namespace. ARGV: wake channel prefix, worker id, how many are finished, queue and id of each of those, then for each
-- new message: queue, id, data, place ("tail" or "head"), delay (ms; 0 for none), customer.
-- Returns {how many messages were new, the number (from 1) of each one that the caller got itself}.
--
-- A message that is already carried (waiting or being worked on) stays as it is: putting it again changes nothing, which is
-- what lets the sweep put every job that should be there without looking first. Only a delayed one may become due sooner.
-- A worker that waits with room to spare (take.lua) is pushed the message at once. A caller that does so gets what it puts
-- itself, with the answer: it runs the next stage too, and nobody has to be woken. Otherwise the first message of an empty
-- queue wakes a worker: one that sleeps has found the queue empty, so a queue that has messages needs no wake-up. A delayed
-- message always wakes one, for it may be due before the one that a sleeper waits for.
-- A full Redis refuses only a script whose first write needs memory: finished messages are forgotten first, and make room.
local namespace, channel, worker, finished = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4])
local clock = redis.call("time")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local ahead = tonumber(ARGV[3]) - now -- of the worker's clock, which may be wrong
-- ms by which a delayed message must be due sooner to be moved: the time of one that is put again varies by less.
local SOONER = 500
local heartbeats = namespace .. ":__heartbeats__"
-- ms; a waiting worker fetches every 4 s (IDLE_FETCH). A frozen process still counts as a subscriber, and must be pushed nothing.
local alive = now - 6000
for i = 5, 4 + 2 * finished, 2 do
    local queue, id = ARGV[i], ARGV[i + 1]
    local waiting = namespace .. ":__waiting__." .. queue
    local was_in_hand = redis.call("srem", namespace .. ":__acks__." .. worker .. "." .. queue, id) == 1 -- acks are tried again
    redis.call("hdel", namespace .. ":" .. queue .. ".msgs", id)
    if was_in_hand and redis.call("hexists", waiting, worker) == 1 then redis.call("hincrby", waiting, worker, 1) end
end
if finished > 0 then redis.call("zadd", heartbeats, now, worker) end

-- The waiting worker with the most room, or nil.
local function with_most_room(waiting)
    local rooms, best, most_room = redis.call("hgetall", waiting), nil, 0
    for i = 1, #rooms, 2 do
        if tonumber(rooms[i + 1]) > most_room then best, most_room = rooms[i], tonumber(rooms[i + 1]) end
    end
    return best
end

local function assign(to, queue, id)
    local waiting = namespace .. ":__waiting__." .. queue
    redis.call("sadd", namespace .. ":__acks__." .. to .. "." .. queue, id)
    if redis.call("hincrby", waiting, to, -1) < 1 then redis.call("hdel", waiting, to) end
end

-- Whether the caller gets the message.
local function keep(queue, id)
    local room = tonumber(redis.call("hget", namespace .. ":__waiting__." .. queue, worker) or 0)
    if room > 0 then assign(worker, queue, id) end
    return room > 0
end

-- Whether another worker gets it.
local function push(queue, id, data)
    local waiting = namespace .. ":__waiting__." .. queue
    local to = with_most_room(waiting)
    while to do
        local seen = tonumber(redis.call("zscore", heartbeats, to) or 0)
        if seen > alive and redis.call("publish", namespace .. ":__hand__:" .. to .. ":" .. queue, data) > 0 then
            assign(to, queue, id)
            return true
        end
        redis.call("hdel", waiting, to) -- it is gone
        to = with_most_room(waiting)
    end
    return false
end

local new, kept, woken = 0, {}, {}
for i = 5 + 2 * finished, #ARGV, 6 do
    local queue, id, data, place = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local due, customer = tonumber(ARGV[i + 4]), ARGV[i + 5]
    local name = namespace .. ":" .. queue
    if due > 0 then
        local due_at = tonumber(redis.call("zscore", name .. ".DQ.due", id))
        if redis.call("hsetnx", name .. ".DQ.msgs", id, data) == 1 then
            redis.call("zadd", name .. ".DQ.due", due - ahead, id)
            woken[queue], new = true, new + 1
        elseif due_at and due - ahead < due_at - SOONER then
            redis.call("hset", name .. ".DQ.msgs", id, data)
            redis.call("zadd", name .. ".DQ.due", due - ahead, id)
            woken[queue] = true
        end
    elseif redis.call("hsetnx", name .. ".msgs", id, data) == 1 then
        if keep(queue, id) then
            kept[#kept + 1] = (i + 1 - 2 * finished) / 6
        elseif not push(queue, id, data) then
            if place == "head" then redis.call("lpush", name, id) else line_up(name, id, customer) end
            if redis.call("llen", name) == 1 then woken[queue] = true end
        end
        new = new + 1
    end
end
for queue in pairs(woken) do
    redis.call("publish", channel .. queue, "1")
end
return {new, unpack(kept)}
