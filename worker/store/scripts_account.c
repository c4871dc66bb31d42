/*
 * The account: the rate that the whole fleet shares, and whether GlobalSign takes it.
 */
#include "scripts_private.h"

/*
 * KEYS: account, limit. ARGV: class (0 = highest), interval of one call in microseconds, burst,
 * shares of the classes in percent.
 *
 * GCRA by Redis' clock, in whole microseconds, stored as the time at which a bucket will be full
 * again (s = shared, c0.. = the class's minimum share), never more than its whole size from now: a
 * clock that stepped back must not shut it for long. A limit that is missing starts empty: a wipe
 * must not give a free burst. Debts are carried over to a changed interval.
 *
 * Every call is paid from the shared bucket. A class with a call left in its own share needs no
 * more than that; beyond it, it must leave in the shared bucket what the other classes have left of
 * theirs, and a reserve that rises from class to class.
 */
const char ew_lua_bucket[] =
    "local function num(x) return string.format('%.0f', x) end\n"
    "local t = redis.call('TIME')\n"
    "local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
    "local cls, I, B = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])\n"
    "local N = 5\n"
    "local share, size, int, debt = {}, {}, {}, {}\n"
    "local h = redis.call('HMGET', KEYS[2], 'i', 's', 'c0', 'c1', 'c2', 'c3', 'c4')\n"
    "local old = tonumber(h[1] or I)\n"
    "local function load_debt(v, whole)\n"
    "  if not v then return whole end\n"
    "  local d = tonumber(v) - now\n"
    "  if old ~= I then d = math.floor(d * I / old) end\n"
    "  return math.max(0, math.min(d, whole))\n"
    "end\n"
    "local shared = load_debt(h[2], B * I)\n"
    "for c = 0, N - 1 do\n"
    "  share[c] = tonumber(ARGV[4 + c])\n"
    "  if share[c] > 0 then\n"
    "    int[c] = math.floor(I * 100 / share[c])\n"
    "    size[c] = math.max(1, math.floor(B * share[c] / 100)) * int[c]\n"
    "    debt[c] = load_debt(h[3 + c], size[c])\n"
    "  end\n"
    "end\n"
    "local function save()\n"
    "  local f = {'i', num(I), 's', num(now + shared)}\n"
    "  for c = 0, N - 1 do\n"
    "    f[#f + 1] = 'c' .. num(c)\n"
    "    f[#f + 1] = num(now + (debt[c] or 0))\n"
    "  end\n"
    "  redis.call('HSET', KEYS[2], unpack(f))\n"
    "  redis.call('PEXPIRE', KEYS[2], '2592000000')\n"
    "end\n"
    /* 0 = taken, otherwise microseconds until it is worth asking again. */
    "local function take(c)\n"
    "  local left = B * I - shared\n"
    "  local wait\n"
    "  if share[c] > 0 then\n"
    "    local own = size[c] - debt[c]\n"
    "    if own >= int[c] and left >= I then\n"
    "      shared, debt[c] = shared + I, debt[c] + int[c]\n"
    "      return 0\n"
    "    end\n"
    "    wait = math.max(int[c] - own, I - left)\n"
    "  end\n"
    "  local reserve = math.floor(B * c / 20) * I\n"
    "  for d = 0, N - 1 do\n"
    "    if d ~= c and share[d] > 0 then\n"
    "      reserve = reserve + math.floor((size[d] - debt[d]) * share[d] / 100)\n"
    "    end\n"
    "  end\n"
    "  reserve = math.min(reserve, (B - math.max(1, math.floor(B / 5))) * I)\n"
    "  if left - I >= reserve then shared = shared + I return 0 end\n"
    "  return math.min(wait or math.huge, I + reserve - left)\n"
    "end\n";

/*
 * ARGV from 9: lease of a test in milliseconds, digest of our credentials or '', calls wanted; as
 * many are granted as there are, the fifth of the reply says how many. Fields of account:
 * st state (absent = unverified), cr credentials, pl place of the latest comer, code, problem, nb
 * not before, probe: until then nobody else tests it (a paused account without it is tested by
 * people only).
 */
const char ew_lua_token[] =
    "local lease, cred = tonumber(ARGV[9]) * 1000, ARGV[10]\n"
    "local a = redis.call('HMGET', KEYS[1], 'st', 'code', 'problem', 'probe', 'nb', 'cr')\n"
    "local st = a[1] or 'unverified'\n"
    "local function reply(result, wait, count)\n"
    "  return {result, num(math.ceil((wait or 0) / 1000)), a[2] or '0', a[3] or '',\n"
    "          num(count or 0)}\n"
    "end\n"
    /* Somebody came with newer credentials: ours must not be tried until the account is locked. */
    "if cred ~= '' and a[6] and a[6] ~= '' and a[6] ~= cred then\n"
    "  return {'paused', '0', '0', 'credentials-superseded', '0'}\n"
    "end\n"
    "local left = math.min(tonumber(a[4] or 0) - now, 86400000000)\n"
    "if st == 'paused' and (left > 0 or not a[4]) then return reply('paused') end\n"
    "local nb = math.min(tonumber(a[5] or 0) - now, 3600000000)\n"
    "if nb > 0 then return reply('wait', nb) end\n"
    "if st ~= 'ok' then\n"
    "  if math.min(left, lease) > 0 then return reply('unverified', math.min(left, 500000)) end\n"
    "  local wait = take(1)\n"
    "  save()\n"
    "  if wait > 0 then return reply('wait', wait) end\n"
    "  redis.call('HSET', KEYS[1], 'probe', num(now + lease))\n"
    "  return reply('probe')\n"
    "end\n"
    "local want, got, wait = tonumber(ARGV[11]), 0, 0\n"
    "while got < want and wait == 0 do\n"
    "  wait = take(cls)\n"
    "  if wait == 0 then got = got + 1 end\n"
    "end\n"
    "save()\n"
    "if got == 0 then return reply('wait', wait) end\n"
    "return reply('granted', 0, got)\n";

const char ew_lua_refund[] = "if not h[2] then return 1 end\n"
                             "shared = math.max(0, shared - I)\n"
                             "if debt[cls] then debt[cls] = math.max(0, debt[cls] - int[cls]) end\n"
                             "save()\n"
                             "return 0\n";

/* KEYS: account. ARGV: milliseconds. */
const char ew_lua_not_before[] = "local t = redis.call('TIME')\n"
                                 "local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
                                 "local nb = now + math.min(tonumber(ARGV[1]), 3600000) * 1000\n"
                                 "local old = tonumber(redis.call('HGET', KEYS[1], 'nb') or 0)\n"
                                 "if old > nb and old - now <= 3600000000 then return 1 end\n"
                                 "redis.call('HSET', KEYS[1], 'nb', string.format('%.0f', nb))\n"
                                 "return 0\n";

/*
 * KEYS: account. ARGV: credentials, place of this worker among those that came to the account, 0 =
 * it comes for the first time. Says whether this call made the transition, and the place.
 *
 * The latest to come has the newest credentials. Who only comes back, for Redis was away, does not
 * overrule who came after it; and where Redis forgot who came, an old worker that is the first to
 * be back is overruled by the next one that came after it.
 */
const char ew_lua_open[] =
    "local cred, place = ARGV[1], tonumber(ARGV[2])\n"
    "local a = redis.call('HMGET', KEYS[1], 'st', 'cr', 'pl')\n"
    "local last = tonumber(a[3] or 0)\n"
    "local changed = not a[1] or a[2] ~= cred\n"
    "if place == 0 then\n"
    "  local t = redis.call('TIME')\n"
    "  place = math.max(tonumber(t[1]) * 1000000 + tonumber(t[2]), last + 1)\n"
    "end\n"
    "if changed and place < last then return {'0', num(place)} end\n"
    "redis.call('HSET', KEYS[1], 'pl', num(math.max(place, last)))\n"
    "if not changed then return {'0', num(place)} end\n"
    "redis.call('HSET', KEYS[1], 'st', 'unverified', 'cr', cred)\n"
    "redis.call('HDEL', KEYS[1], 'code', 'problem', 'probe')\n"
    "return {'1', num(place)}\n";

/* KEYS: account. ARGV: resumed | untested | paused | retry, credentials or '', code, problem,
 * milliseconds until a paused account is tested again (0 = by people only). Says whether this call
 * made the transition. What a worker with other credentials saw says nothing of these. */
const char ew_lua_account[] =
    "local what, cred = ARGV[1], ARGV[2]\n"
    "local a = redis.call('HMGET', KEYS[1], 'st', 'cr')\n"
    "local st, cr = a[1] or '', a[2] or ''\n"
    "if cred ~= '' and cr ~= '' and cr ~= cred then return 0 end\n"
    "if what == 'retry' then\n"
    "  if st ~= 'paused' then return 0 end\n"
    "  redis.call('HSET', KEYS[1], 'st', 'unverified')\n"
    "  redis.call('HDEL', KEYS[1], 'code', 'problem', 'probe')\n"
    "  return 1\n"
    "end\n"
    "if what == 'untested' then\n"
    "  if st ~= 'paused' then redis.call('HDEL', KEYS[1], 'probe') end\n"
    "  return 0\n"
    "end\n"
    "if what == 'resumed' then\n"
    "  if st == 'ok' then return 0 end\n"
    "  redis.call('HSET', KEYS[1], 'st', 'ok')\n"
    "  redis.call('HDEL', KEYS[1], 'code', 'problem', 'probe')\n"
    "  return 1\n"
    "end\n"
    "redis.call('HDEL', KEYS[1], 'probe')\n"
    "if tonumber(ARGV[5]) > 0 then\n"
    "  local t = redis.call('TIME')\n"
    "  local now = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
    "  redis.call('HSET', KEYS[1], 'probe', string.format('%.0f', now + ARGV[5] * 1000))\n"
    "end\n"
    "if st == 'paused' then return 0 end\n"
    "redis.call('HSET', KEYS[1], 'st', 'paused', 'code', ARGV[3], 'problem', ARGV[4])\n"
    "return 1\n";
