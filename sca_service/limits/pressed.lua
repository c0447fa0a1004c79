-- Of limits that lie together: which are more than half spent. Read in front of the scripts that spend and give back.
--
-- A sorted set holds the name of each and the ms at which it will be half spent only. It goes when the last of them is.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local pressed = {} -- limits that were changed, each with the ms at which it is half spent only

local function note_pressed(key, spent_ms, room_ms)
  pressed[#pressed + 1] = {key, spent_ms - room_ms / 2}
end

-- Nothing is kept, nor looked for but by its key, while no limit is more than half spent.
local function keep_pressed(set)
  if not set then return end
  local is_known = redis.call('EXISTS', set) == 1
  for _, one in ipairs(pressed) do
    if one[2] > now then
      redis.call('ZADD', set, one[2], one[1])
      is_known = true
    elseif is_known then
      redis.call('ZREM', set, one[1])
    end
  end
  if not is_known then return end
  redis.call('ZREMRANGEBYSCORE', set, '-inf', now)
  local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')[2]
  if last then redis.call('PEXPIREAT', set, string.format('%d', math.ceil(tonumber(last)))) end
end
