-- Turns by customer within a queue; put.lua and take.lua begin with this.
--
-- The list of a queue stays Dramatiq's: whoever takes from its front takes fairly. What is ordered is where a message joins:
-- the list is made of rounds, each with at most one message of a customer, and a message joins the round after that of its
-- customer's latest one, or the round that is being served now. So ten thousand messages of one customer are ten thousand
-- rounds, and another customer's first message goes in front of them.
--
-- Beside the list, <queue>.turns has the round of each customer's latest message and the last round of all, <queue>.rounds the
-- first message of each round after the one that is being served. Both are hints: who loses them, or takes from the list without
-- them (a stock worker, one of an older release), loses fairness for what waits, and nothing else.

-- LINSERT looks from the front. Near the end of a long list it is quicker to put what follows behind the new one again.
local LONG, NEAR = 10000, 1000

local function insert_before(name, later, id)
    if redis.call("llen", name) > LONG then
        local place = redis.call("lpos", name, later, "rank", -1, "maxlen", NEAR)
        if place then
            local behind = redis.call("lrange", name, place, -1)
            redis.call("ltrim", name, 0, place - 1)
            redis.call("rpush", name, id, unpack(behind))
            return true
        end
    end
    return redis.call("linsert", name, "before", later, id) > 0
end

-- The round that a customer's next message joins, the round that is being served, and the last one.
local function next_round(name, customer)
    local first = redis.call("zrange", name .. ".rounds", 0, 0, "withscores")[2]
    local known = redis.call("hmget", name .. ".turns", customer, "last round")
    local last = tonumber(known[2] or 0)
    local served = first and tonumber(first) - 1 or last
    return math.max(served, tonumber(known[1] or -1) + 1), served, last
end

-- Puts a message into a queue's list, in its customer's turn ("" is a customer, too).
local function line_up(name, id, customer)
    local rounds, turns = name .. ".rounds", name .. ".turns"
    if redis.call("llen", name) == 0 then redis.call("del", rounds, turns) end
    for _ = 1, 10 do
        local round, served, last = next_round(name, customer)
        local later = redis.call("zrangebyscore", rounds, "(" .. round, "+inf", "limit", 0, 1)[1]
        if not later or insert_before(name, later, id) then
            if not later then redis.call("rpush", name, id) end
            if round > served and redis.call("zcount", rounds, round, round) == 0 then redis.call("zadd", rounds, round, id) end
            redis.call("hset", turns, customer, round, "last round", math.max(round, last))
            return
        end
        redis.call("zrem", rounds, later) -- somebody took it without a word
    end
    redis.call("del", rounds, turns)
    redis.call("rpush", name, id)
end
