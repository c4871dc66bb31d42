/*
 * Work that one worker of the fleet does for all, and orders that GlobalSign has beyond what was
 * answered.
 */
#include "scripts_private.h"

/* KEYS: lease. ARGV: token, milliseconds. */
const char ew_lua_lease[] = "local v = redis.call('GET', KEYS[1])\n"
                            "if v and v ~= ARGV[1] then return 0 end\n"
                            "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                            "return 1\n";

/* KEYS: canary, order, key. */
const char ew_lua_owners[] = "local c = canary(KEYS[1])\n"
                             "return {num(c), redis.call('GET', KEYS[2]) or '',\n"
                             "  redis.call('GET', KEYS[3]) or ''}\n";

/* KEYS: canary, order, key. ARGV: whose the order is or '', whose the key is, expiry. Recorded for
 * an answered request, the order is found by no other that uses the key from now on. */
const char ew_lua_condemn[] =
    "if canary(KEYS[1]) ~= 0 then return 3 end\n"
    "local function done(id)\n"
    "  return redis.call('HGET', prefix .. 'request:' .. id, 'st') == 'done'\n"
    "end\n"
    "local o, k = redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or ''\n"
    "if o ~= ARGV[1] or k ~= ARGV[2] or k == '' or not done(k) then return 1 end\n"
    "if o ~= '' then return done(o) and 0 or 1 end\n"
    "redis.call('SET', KEYS[2], k, 'PX', ARGV[3])\n"
    "return 0\n";
