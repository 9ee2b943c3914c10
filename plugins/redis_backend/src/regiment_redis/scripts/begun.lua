-- begun = what all records need that this step keeps at one queue. A version is the time in us. S:last says up to where versions may
-- have been used: to 100 ms ahead (so that most steps write nothing), or, after the clock went back, exactly (below 0).
do
  local known, us = redis.call('MGET', stem .. ':last', stem .. ':followed'), clock[1] * 1000000 + clock[2]
  local last, version = tonumber(known[1] or 0), us
  if us > math.abs(last) then
    redis.call('SET', stem .. ':last', string.format('%.0f', us + 100000))
  elseif last < 0 or us < last - 100000 then
    version = math.abs(last) + 1
    redis.call('SET', stem .. ':last', string.format('%.0f', -version))
  end
  begun = {version = version, place = version, behind = version > us, head = struct.pack('>I7', version), followed = known[2]}
end
