-- An approval: what was sent to this line before is answered, and each subject has one approval more.
--
-- KEYS  the line's own count, since when it is waited for, then the counters of each subject
-- ARGV  '1' when the code came over the line, then of each subject: seconds it is kept, '1' when its approvals count
--       though nothing else does

local verified = tonumber(ARGV[1])
local asked = counted(tonumber(redis.call('GETDEL', KEYS[1]) or 0))
local since = asked > 0 and tonumber(redis.call('GETDEL', KEYS[2]) or '')
for at = 3, #KEYS do
  local key = KEYS[at]
  if ARGV[at * 2 - 3] == '1' or redis.call('EXISTS', key) == 1 then
    add(key, hour, 0, asked, verified)
    if since then wait_no_more(key, since) end
    if verified > 0 then add_to_day(key, verified) end
    redis.call('EXPIRE', key, tonumber(ARGV[at * 2 - 4]))
  end
end
