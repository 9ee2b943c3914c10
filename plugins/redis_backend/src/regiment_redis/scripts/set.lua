-- put = whether `body` (7 bytes rank, 1 byte flags, value) was put under `key`: none was there, or none with a higher rank. Where
-- the one before it had to be replaced, it is asked at once what is there: most results replace the note of a push.
local name, put, old = stem .. ':kept:' .. key, nil, nil
if begun.replacing then old = redis.call('GETRANGE', name, 0, 13) end
if not old or old == '' then
  if ttl == '' then
    put = redis.call('SET', name, begun.head .. body, 'NX')
  else
    put = redis.call('SET', name, begun.head .. body, 'NX', 'PX', ttl)
  end
  old = old or not put and redis.call('GETRANGE', name, 0, 13)
end
begun.replacing = not put
if not put then
  local version, higher = struct.unpack('>I7I7', old)
  if higher <= struct.unpack('>I7', body) then
    if version > begun.version then begun.version, begun.head = version + 1, struct.pack('>I7', version + 1) end
    if ttl == '' then
      put = redis.call('SET', name, begun.head .. body)
    else
      put = redis.call('SET', name, begun.head .. body, 'PX', ttl)
    end
  end
end
