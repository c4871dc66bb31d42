/*
 * Rebuilding Redis from the topics. The nonce's value carries the run id it was set under: a server
 * that restarted in the middle cannot be finished.
 */
#include "scripts_private.h"

/* KEYS: canary, nonce. ARGV: nonce, lease. */
const char ew_lua_begin[] =
    "local c = canary(KEYS[1])\n"
    "if c == 0 then return 0 end\n"
    "if not redis.call('SET', KEYS[2], ARGV[1] .. ':' .. run_id(), 'PX', ARGV[2], 'NX') then\n"
    "  return 0\n"
    "end\n"
    "redis.call('DEL', KEYS[1])\n"
    "return 1\n";

/* KEYS: nonce. ARGV: nonce, lease, cursor, count. Removes what survived, a part at a time; '' = the
 * nonce is lost. Of an account stays who has come to it, lest old credentials count as the latest.
 */
const char ew_lua_sweep[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if not v or string.match(v, '^(%w+):') ~= ARGV[1] then return '' end\n"
    "redis.call('PEXPIRE', KEYS[1], ARGV[2])\n"
    "local keep = {canary = 1, nonce = 1, version = 1, wrapped = 1}\n"
    "local s = redis.call('SCAN', ARGV[3], 'MATCH', prefix .. '*', 'COUNT', ARGV[4])\n"
    "for _, k in ipairs(s[2]) do\n"
    "  local kind = string.match(k, '^(%w+)', #prefix + 1) or ''\n"
    "  if kind == 'account' then\n"
    "    redis.call('HDEL', k, 'st', 'code', 'problem', 'probe', 'nb')\n"
    "  elseif not keep[kind] then\n"
    "    redis.call('UNLINK', k)\n"
    "  end\n"
    "end\n"
    "return s[1]\n";

/* KEYS: nonce. ARGV: nonce, lease. */
const char ew_lua_renew[] =
    "if redis.call('GET', KEYS[1]) ~= ARGV[1] .. ':' .. run_id() then return 0 end\n"
    "return redis.call('PEXPIRE', KEYS[1], ARGV[2])\n";

/* KEYS: nonce, canary. ARGV: nonce. */
const char ew_lua_finish[] = "local v = ARGV[1] .. ':' .. run_id()\n"
                             "if redis.call('GET', KEYS[1]) ~= v then return 0 end\n"
                             "redis.call('SET', KEYS[2], v)\n"
                             "redis.call('DEL', KEYS[1])\n"
                             "return 1\n";

/* KEYS: canary, nonce. ARGV: nonce. A rebuild that goes on writes its own. */
const char ew_lua_bootstrap[] = "if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end\n"
                                "local v = ARGV[1] .. ':' .. run_id()\n"
                                "return redis.call('SET', KEYS[1], v, 'NX') and 1 or 0\n";

/* KEYS: nonce, request, wrapped, stop, version. ARGV: id, nonce, src, digest, state, expiry,
 * version, order id, issuer, serial, key digests. An answer wins over all but a later version of
 * itself. */
const char ew_lua_restore_state[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if not v or string.match(v, '^(%w+):') ~= ARGV[2] then return 3 end\n"
    "local id, ttl, oid, version = ARGV[1], ARGV[6], ARGV[8], tonumber(ARGV[7])\n"
    "if version > tonumber(redis.call('GET', KEYS[5]) or 0) then\n"
    "  redis.call('SET', KEYS[5], num(version))\n"
    "end\n"
    "local r = redis.call('HMGET', KEYS[2], 'st', 'ver')\n"
    "if r[1] == 'done' and tonumber(r[2] or 0) >= version then return 1 end\n"
    "redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])\n"
    "write(KEYS[2], {st = 'done', dg = ARGV[4], src = ARGV[3], osrc = '', ep = 0, at = 0, ca = 0,\n"
    "  ks = '', oid = oid, out = ARGV[5], mb = '', mo = '', va = 0})\n"
    "redis.call('HSET', KEYS[2], 'ver', num(version), 'rb', ARGV[2])\n"
    "redis.call('PEXPIRE', KEYS[2], ttl)\n"
    "index(id, ttl, oid, ARGV[9], ARGV[10], 11)\n"
    "return 0\n";

/* KEYS: nonce, request, wrapped, stop. ARGV: id, nonce, src, digest, state or 'stop', attempt,
 * order id, wrapped key or '', expiry of a STOP, attempts vanished, a resume's original or '',
 * GlobalSign's date, the event that it repeats or '', orders whose keys were lost, the one that
 * does not fit, key digests. What this rebuild restored of another source gives way to what is
 * nearer to an order, and what repeats an event to that one. While an order is ended for its lost
 * key, a key that is there was made in its place, and nothing was sent with it. */
const char ew_lua_restore_inflight[] =
    "local v = redis.call('GET', KEYS[1])\n"
    "if not v or string.match(v, '^(%w+):') ~= ARGV[2] then return 3 end\n"
    "local id, st, at, oid = ARGV[1], ARGV[5], tonumber(ARGV[6]), ARGV[7]\n"
    "if st == 'stop' then\n"
    "  if redis.call('HGET', KEYS[2], 'st') == 'done' then return 1 end\n"
    "  return redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[9], 'NX') and 0 or 1\n"
    "end\n"
    "local function rank(st, first)\n"
    "  local repeats = first and first ~= ''\n"
    "  return ({unknown = 3, parked = repeats and 0 or 2, waiting = repeats and 0 or 1})[st] or 4\n"
    "end\n"
    "local r = redis.call('HMGET', KEYS[2], 'st', 'rb', 'fs')\n"
    "if r[1] and (r[2] ~= ARGV[2] or rank(r[1], r[3]) >= rank(st, ARGV[13])) then return 1 end\n"
    "local ks = #ARGV >= 16 and ARGV[#ARGV] or ''\n"
    "redis.call('DEL', KEYS[2])\n"
    "if st == 'unknown' and lost({lo = ARGV[14]}, oid) then redis.call('DEL', KEYS[3]) end\n"
    "write(KEYS[2], {st = st, dg = ARGV[4], src = ARGV[3], osrc = ARGV[11], ep = 0, at = at,\n"
    "  ca = at, ks = ks, oid = oid, out = '', mb = '', mo = '', va = tonumber(ARGV[10]),\n"
    "  lo = ARGV[14], mi = ARGV[15]})\n"
    "redis.call('HSET', KEYS[2], 'rb', ARGV[2], 'wo', '1', 'cd', ARGV[12], 'fs', ARGV[13])\n"
    "for i = 16, #ARGV do redis.call('SET', prefix .. 'key:' .. ARGV[i], id, 'NX') end\n"
    "for o in string.gmatch(ARGV[14] .. ' ' .. oid, '%S+') do\n"
    "  redis.call('SET', prefix .. 'order:' .. o, id, 'NX')\n"
    "  owns(KEYS[2], o)\n"
    "end\n"
    "if ARGV[8] ~= '' and redis.call('EXISTS', KEYS[3]) == 0 then\n"
    "  redis.call('HSET', KEYS[3], 'w', ARGV[8], 'ks', ks)\n"
    "end\n"
    "return 0\n";
