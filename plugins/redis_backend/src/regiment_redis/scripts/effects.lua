-- What attempts leave behind (regiment/contracts/effects.py). Made only where there are effects. Expects `stem`, `now`,
-- `clock` and `tools`. A list of effects is flat; each begins with its kind and the stem of its queue (empty: that of the
-- list), which is in reach of this script:
--   "K" stem key ms-or-empty body: 7 bytes rank, 1 byte flags (1: listed), value
--   "S" stem priority "now"|"in"|"at" ms ms-of-ids has-ids(0, 1) how-many ids payloads
--   "T" stem priority payload: as "S", one without id that is due now
--   "J" stem join members-or-empty ms then: a list of effects, packed
--   "A" stem join member | "E" stem join members | "U" stem join ms | "D" stem how-many keys
--   "O" stem target token packed: for another place; it waits in the outbox of KEYS[1] (outbox.lua)
--   "R" receipt: what follows belongs to it
local function effects(begun)
  local home, origin, heres, stems, later = stem, stem, {}, {}, {}
  local here
  local e = {version = 0, left_out = {}, sent = 0}
  --#include keeping.lua
  --#include joined.lua
  --#include sent.lua
  e.kept = kept
  --#flow charging.lua

  -- From now on `stem`, and the tools, are those of this queue.
  local function go(to)
    if to == '' then to = origin end
    if here and to == stem then return end
    if here and made then here.added, here.earlier = made.added, made.earlier end
    if not heres[to] then
      heres[to] = {lists = {}, joins = {}, added = 0}
      stems[#stems + 1] = to
      if to == home then heres[to].begun = begun end
      if to == home and made then heres[to].added, heres[to].earlier = made.added, made.earlier end
    end
    stem, here = to, heres[to]
    if made then made.added, made.earlier = here.added, here.earlier end
  end

  -- For another place. The board's version tells every exchange, by a bit that no version reaches, that something waits.
  local function out(target, token, packed)
    redis.call('SADD', home .. ':out', target)
    redis.call('RPUSH', home .. ':out:' .. target, token, packed)
    go(home)
    local version = tonumber(redis.call('HGET', stem, 'version')) or 0
    if version < 2147483648 then tools().put('version', tools().digits(version + 2147483648)) end
  end

  local function run(list, i, to, took)
    local on = true
    while i <= to do
      local kind, size = list[i], 4
      if kind == 'R' then
        on, i = took == true or took[tonumber(list[i + 1])], i + 2
      else
        if kind == 'K' then size = 5
        elseif kind == 'S' then size = 8 + tonumber(list[i + 7]) * (1 + tonumber(list[i + 6]))
        --#flow: elseif kind == 'F' then size = 7 + 4 * tonumber(list[i + 6])
        elseif kind == 'J' then size = 6
        elseif kind == 'O' then size = 5
        elseif kind == 'D' then size = 3 + tonumber(list[i + 2]) end
        if on then
          go(list[i + 1])
          if kind == 'K' then keep(list[i + 2], list[i + 3], list[i + 4])
          elseif kind == 'A' then arrive(list[i + 2], tonumber(list[i + 3]))
          elseif kind == 'T' then send_one(list[i + 2], list[i + 3], list == e.top)
          elseif kind == 'S' then send(list, i + 2, list == e.top)
          --#flow: elseif kind == 'F' then send_charged(list, i + 2, list == e.top)
          elseif kind == 'J' then open_join(list[i + 2], tonumber(list[i + 3]), list[i + 4], list[i + 5])
          elseif kind == 'E' then seal_join(list[i + 2], tonumber(list[i + 3]))
          elseif kind == 'U' then shut_join(list[i + 2], list[i + 3])
          elseif kind == 'D' then drop(list, i + 3, i + size - 1)
          else out(list[i + 2], list[i + 3], list[i + 4]) end
        end
        i = i + size
      end
    end
  end

  -- Applies list[from..to], of receipts only those in `took` (true: all). What a join that became complete leaves behind
  -- comes after all others.
  function e.leave(list, from, to, took)
    e.top = list
    run(list, from, to, took)
    local next = 1
    while later[next] do
      origin = later[next][1]
      local packed = cmsgpack.unpack(later[next][2])
      run(packed, 1, #packed)
      next = next + 1
    end
    for _, one in ipairs(stems) do
      go(one)
      save_kept()
      save_joins()
      push_sent()
      if one ~= home and made then made.rouse() end
    end
    go(home)
    e.version = here.begun and here.begun.kept and here.begun.version or 0
  end

  return e
end
