-- Whether a block stands of one of these subjects; it counts what it stops. Nothing else is counted.
--
-- KEYS  of each subject: its block, its place on the allow-list
-- Returns the block's reason, or nil

for at = 1, #KEYS, 2 do
  local block = not in_force('allow', KEYS[at + 1]) and in_force('block', KEYS[at])
  if block and redis.call('EXISTS', block) == 1 then
    redis.call('HINCRBY', block, 'refused', 1)
    return redis.call('HGET', block, 'why')
  end
end
return nil
