/*
 * After the answer's commit: DONE, its indexes, later versions of the state record.
 */
#include "scripts_private.h"

/* ARGV: id, expiry, issuer, serial. */
const char ew_lua_certified[] =
    "redis.call('SET', serial_key(ARGV[3], ARGV[4]), ARGV[1], 'PX', ARGV[2])\n"
    "return 0\n";

/* KEYS: request, wrapped, stop. ARGV: id, src, digest, state, expiry, order id, issuer, serial,
 * key digests. The answer is committed, so it wins over whatever is not an answer. */
const char ew_lua_done[] =
    "local id, src, ttl, oid = ARGV[1], ARGV[2], ARGV[5], ARGV[6]\n"
    "local r = read(KEYS[1])\n"
    "if r and r.dg ~= ARGV[3] then return 1 end\n"
    "if r and r.st == 'done' then return (r.src == src or r.osrc == src) and 0 or 1 end\n"
    "local w = redis.call('HGET', KEYS[2], 'ks')\n"
    "if not r then r = {osrc = '', at = 0, ca = 0, ks = '', oid = '', va = 0} end\n"
    "release(id, r.ks, 9)\n"
    "release(id, w or '', 9)\n"
    "local all = (redis.call('HGET', KEYS[1], 'os') or '') .. r.oid\n"
    "for o in string.gmatch(all, '%S+') do\n"
    "  local k = prefix .. 'order:' .. o\n"
    "  if o ~= oid and redis.call('GET', k) == id then redis.call('PEXPIRE', k, ttl) end\n"
    "end\n"
    "if r.src ~= src then r.osrc = '' end\n"
    "r.st, r.dg, r.src, r.ep, r.out = 'done', ARGV[3], src, 0, ARGV[4]\n"
    "r.mb, r.mo, r.mi = '', '', ''\n"
    "if oid ~= '' then r.oid = oid end\n"
    "write(KEYS[1], r)\n"
    "redis.call('HSET', KEYS[1], 'ver', '0')\n"
    "redis.call('HDEL', KEYS[1], 'os')\n"
    "redis.call('PEXPIRE', KEYS[1], ttl)\n"
    "redis.call('DEL', KEYS[2], KEYS[3])\n"
    "index(id, ttl, oid, ARGV[7], ARGV[8], 9)\n"
    "return 0\n";

/* KEYS: request. ARGV: version, state. The expiry stays. */
const char ew_lua_rewrite[] =
    "local v = redis.call('HMGET', KEYS[1], 'st', 'ver')\n"
    "if v[1] ~= 'done' or tonumber(v[2] or 0) >= tonumber(ARGV[1]) then return 1 end\n"
    "redis.call('HSET', KEYS[1], 'ver', ARGV[1], 'out', ARGV[2])\n"
    "return 0\n";

/* KEYS: version. Redis time keeps it rising over a wipe. */
const char ew_lua_version[] = "local t = redis.call('TIME')\n"
                              "local v = tonumber(t[1]) * 1000000 + tonumber(t[2])\n"
                              "local last = tonumber(redis.call('GET', KEYS[1]) or 0)\n"
                              "if v <= last then v = last + 1 end\n"
                              "redis.call('SET', KEYS[1], num(v))\n"
                              "return num(v)\n";
