-- new = whether the record `head .. body` could be put under `key`, where there was none.
local name, new = stem .. ':kept:' .. key, nil
if ttl == '' then
  new = redis.call('SET', name, head .. body, 'NX')
else
  new = redis.call('SET', name, head .. body, 'NX', 'PX', ttl)
end
