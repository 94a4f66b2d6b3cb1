# SPDX-License-Identifier: Apache-2.0
"""
What must happen all at once on the server, in its own language.

What we keep there, in a namespace:

* `<namespace>:meta`, a hash. `epoch`: a random id of this history of invalidations. `n`: how many
  there were in it. `g`: the generation of entries; those of others are absent. `run_id`: the
  server's run that the epoch belongs to. A server that was restarted may have come back with an
  old snapshot, without the latest invalidations: nothing of the old epoch may be believed then.
* `<namespace>:events`, a stream of the epoch's invalidations: `n`, and `d`, the packed event.
* `<namespace>:<epoch>.<g>:<group>`, a hash for each group: a field for each key about it, named
  `<kind><scope><rest of the subject>`.

A script returns nothing where meta is absent, damaged, or of another run: the epoch is over.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_FIELDS: Final = 4096
"""Keys about one group; past it the group starts over, for fields don't expire one by one."""
MAX_SINCE: Final = 256
"""Events that a put is compared with; one that is further behind is not stored."""
MAX_EVENTS: Final = 100_000
"""About how many events the stream keeps."""
MAX_SCANNED: Final = 20_000
"""Keys in a database up to which those with a prefix are looked for while the server waits."""


class Script:
    """A Lua script, and the digest that a server knows it by."""

    def __init__(self, source: str) -> None:
        from hashlib import sha1

        self.source = source
        self.digest = sha1(source.encode(), usedforsecurity=False).hexdigest()


# KEYS: meta, events.
_CURRENT = """
local function current(run_id)
  local meta = redis.pcall('HMGET', KEYS[1], 'run_id', 'epoch', 'n', 'g')
  if meta.err or meta[1] ~= run_id then return nil end
  for place, pattern in pairs({[2] = '^%x+$', [3] = '^%d+$', [4] = '^%d+$'}) do
    local text = meta[place]
    if not text or #text > 32 or not string.match(text, pattern) then return nil end
  end
  return meta[2], meta[3], meta[4]
end
"""
_ENSURE = (
    _CURRENT
    + """
local function ensure(run_id, fresh)
  local epoch, n, g = current(run_id)
  if epoch and type(redis.pcall('XLEN', KEYS[2])) == 'number' then return epoch, n, g end
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[1], 'run_id', run_id, 'epoch', fresh, 'n', 0, 'g', 1)
  return fresh, '0', '1'
end
"""
)
_SEAL = """
local function seal(...) return redis.sha1hex(table.concat({...}, '|')) end
"""
_LITERAL = """
local function literal(text) return (string.gsub(text, '[%*%?%[%]%^%-%\\\\]', '\\\\%0')) end
"""

# ARGV: run_id, fresh epoch, epoch and n and id of the last event known, how many events at most.
LOOK: Final = Script(
    _ENSURE
    + _SEAL
    + """
local epoch, n, g = ensure(ARGV[1], ARGV[2])
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local id = newest[1] and newest[1][1] or '0-0'
local events = {}
if ARGV[3] == epoch and ARGV[4] ~= n then
  events = redis.call('XRANGE', KEYS[2], ARGV[5], '+', 'COUNT', ARGV[6])
end
return {epoch, n, g, id, seal(epoch, n, g, id), events}
"""
)

# ARGV: run_id, namespace, epoch, and n and id of the oldest position; group, field, value,
# lifetime in milliseconds and n for each entry. Returns how many were not stored.
STORE: Final = Script(
    _CURRENT
    + f"""
local epoch, n, g = current(ARGV[1])
local rows = (#ARGV - 5) / 5
local low = tonumber(ARGV[4])
if epoch ~= ARGV[3] or low > tonumber(n) then return rows end
local changed, prefixes, all = {{}}, {{}}, -1

local function note(number, payload)
  local fine, said = pcall(cmsgpack.unpack, string.sub(payload, 5))
  if not fine or type(said) ~= 'table' then return false end
  if type(said[2]) ~= 'table' then all = number return true end
  for _, subject in ipairs(said[2]) do changed[string.match(subject, '^[^?]*')] = number end
  for _, prefix in ipairs(said[3]) do
    prefixes[#prefixes + 1] = {{string.match(prefix, '^[^?]*'), number}}
  end
  return true
end

local expected = low + 1
if low < tonumber(n) then
  local events = redis.call('XRANGE', KEYS[2], ARGV[5], '+', 'COUNT', {MAX_SINCE + 1})
  for _, event in ipairs(events) do
    if event[1] ~= ARGV[5] then
      local told = event[2]
      if told[1] ~= 'n' or tonumber(told[2]) ~= expected or told[3] ~= 'd' then return rows end
      if not note(expected, told[4]) then return rows end
      expected = expected + 1
    end
  end
  if expected ~= tonumber(n) + 1 then return rows end
end

local function is_overtaken(group, since)
  if all > since or (changed[group] or -1) > since then return true end
  for _, prefix in ipairs(prefixes) do
    if prefix[2] > since and string.sub(group, 1, #prefix[1]) == prefix[1] then return true end
  end
  return false
end

local function store(key, field, value, ttl_ms)
  local added = redis.pcall('HSET', key, field, value)
  if type(added) == 'table' then
    if not string.find(added.err, 'WRONGTYPE', 1, true) then error(added.err) end
    redis.call('UNLINK', key)
    added = redis.call('HSET', key, field, value)
  end
  local left_ms = redis.call('PTTL', key)
  if added == 1 and left_ms >= 0 and redis.call('HLEN', key) > {MAX_FIELDS} then
    redis.call('UNLINK', key)
    redis.call('HSET', key, field, value)
    left_ms = -1
  end
  if left_ms < ttl_ms then redis.call('PEXPIRE', key, string.format('%.0f', ttl_ms)) end
end

local dropped = 0
local shelf = ARGV[2] .. ':' .. epoch .. '.' .. g .. ':'
for i = 6, #ARGV, 5 do
  if is_overtaken(ARGV[i], tonumber(ARGV[i + 4])) then
    dropped = dropped + 1
  else
    store(shelf .. ARGV[i], ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]))
  end
end
return dropped
"""
)

# ARGV: run_id, fresh epoch, namespace, packed event, '1' if it is about everything, how many
# prefixes, the prefixes, the groups. Returns where the event is, as LOOK does, and whether entries
# of an old generation are left.
ANNOUNCE: Final = Script(
    _ENSURE
    + _SEAL
    + _LITERAL
    + f"""
local epoch, n, g = ensure(ARGV[1], ARGV[2])
local shelf = ARGV[3] .. ':' .. epoch .. '.' .. g .. ':'
local prefixes = tonumber(ARGV[6])
-- Removing something, or nothing, lets a script write on where the server is full: other hosts must
-- hear of a change all the more.
redis.call('UNLINK', KEYS[1] .. ':none')
local is_renewed = ARGV[5] == '1'
if prefixes > 0 and redis.call('DBSIZE') > {MAX_SCANNED} then is_renewed = true end

local function forget_prefix(pattern)
  local cursor = '0'
  repeat
    local found = redis.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)
    cursor = found[1]
    for _, key in ipairs(found[2]) do redis.call('UNLINK', key) end
  until cursor == '0'
end

if is_renewed then
  redis.call('HINCRBY', KEYS[1], 'g', 1)
else
  for i = 7, 6 + prefixes do forget_prefix(literal(shelf .. ARGV[i]) .. '*') end
  for i = 7 + prefixes, #ARGV do redis.call('UNLINK', shelf .. ARGV[i]) end
end
-- The event is last: where the server has no room for it, n is ahead of the stream, and everybody
-- takes that for a gap.
n = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'n', 1))
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', {MAX_EVENTS}, '*', 'n', n, 'd', ARGV[4])
return {{epoch, n, g, id, seal(epoch, n, g, id), is_renewed and 1 or 0}}
"""
)

# ARGV: run_id, namespace; group and field of each key.
FORGET: Final = Script(
    _CURRENT
    + """
local epoch, n, g = current(ARGV[1])
if not epoch then return 0 end
local shelf = ARGV[2] .. ':' .. epoch .. '.' .. g .. ':'
for i = 3, #ARGV, 2 do
  local done = redis.pcall('HDEL', shelf .. ARGV[i], ARGV[i + 1])
  if type(done) == 'table' then redis.call('UNLINK', shelf .. ARGV[i]) end
end
return 1
"""
)

# ARGV: run_id, namespace, cursor, what groups start with, what keys start with. Returns the next
# cursor.
FORGET_PREFIX: Final = Script(
    _CURRENT
    + _LITERAL
    + """
local epoch, n, g = current(ARGV[1])
if not epoch then return '0' end
local shelf = ARGV[2] .. ':' .. epoch .. '.' .. g .. ':'
local pattern = literal(shelf .. ARGV[4]) .. '*'
local found = redis.call('SCAN', ARGV[3], 'MATCH', pattern, 'COUNT', 500)
for _, name in ipairs(found[2]) do
  local group = string.sub(name, #shelf + 1)
  local fields = redis.pcall('HKEYS', name)
  if fields.err then
    redis.call('UNLINK', name)
  else
    for _, field in ipairs(fields) do
      local key = string.sub(field, 1, 17) .. group .. string.sub(field, 18)
      if string.sub(key, 1, #ARGV[5]) == ARGV[5] then redis.call('HDEL', name, field) end
    end
  end
end
return found[1]
"""
)

# ARGV: run_id. Puts the entries of all groups out of reach.
RENEW: Final = Script(
    _CURRENT
    + """
if not current(ARGV[1]) then return 0 end
return redis.call('HINCRBY', KEYS[1], 'g', 1)
"""
)

# ARGV: run_id, namespace, cursor. Removes entries of other epochs and generations; returns the next
# cursor.
SWEEP: Final = Script(
    _CURRENT
    + """
local epoch, n, g = current(ARGV[1])
if not epoch then return '0' end
local start = ARGV[2] .. ':'
local shelf = start .. epoch .. '.' .. g .. ':'
local found = redis.call('SCAN', ARGV[3], 'MATCH', start .. '*:*', 'COUNT', 1000)
for _, name in ipairs(found[2]) do
  local id = string.match(name, '^(%x+)%.%d+:', #start + 1)
  if id and #id == 32 and string.sub(name, 1, #shelf) ~= shelf then redis.call('UNLINK', name) end
end
return found[1]
"""
)
