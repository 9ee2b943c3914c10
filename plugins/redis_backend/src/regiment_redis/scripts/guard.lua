if redis.call('HGET', stem, 'flow') then return redis.error_reply('ISFLOW this queue has lanes') end
