-- The limits that are spent in the step that decides. Read after state.lua.

-- GCRA over several limits at once: all are spent or none is. From KEYS[first_key] on stand the limits' keys, from
-- ARGV[first_argument] on ms each and burst of each.
-- Returns 0, or the ms to wait until all of them would let one more pass; and how many ms ahead of the clock each is
-- spent now, between spaces. The arithmetic is limits/model.py's.
local function spend_limits(first_key, first_argument)
  local tats, spent, ahead, wait = {}, {}, {}, 0
  for at = first_key, #KEYS do
    local interval_ms = tonumber(ARGV[first_argument + 2 * (at - first_key)])
    local burst = tonumber(ARGV[first_argument + 2 * (at - first_key) + 1])
    tats[at] = math.max(tonumber(redis.call('GET', KEYS[at]) or 0), now)
    spent[at] = tats[at] + interval_ms
    wait = math.max(wait, spent[at] - now - burst * interval_ms)
  end
  for at = first_key, #KEYS do
    local spent_ms = wait > 0 and tats[at] or spent[at]
    if wait == 0 then redis.call('SET', KEYS[at], string.format('%d', spent_ms), 'PX', math.ceil(spent_ms - now)) end
    ahead[#ahead + 1] = string.format('%d', spent_ms - now)
  end
  return math.ceil(wait), table.concat(ahead, ' ')
end
