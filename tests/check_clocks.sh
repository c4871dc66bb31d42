#!/bin/sh
# Fails when the worker asks for the time of day in a place that tests/wall_clock.txt does not name, or
# in a way other than by the clock that it is passed.
cd "$(dirname "$0")/.." || exit 2
bad=0
code() { # PATTERN: where it stands, but for comments
    grep -rnE "$1" worker include --include='*.[ch]' | grep -vE '^[^:]*:[0-9]*: *(/\*|\*)'
}
found=$(code 'ew_wall_ms\(|[^/] *CLOCK_REALTIME' | grep '^worker/' | cut -d: -f1 | sort | uniq -c | awk '{ print $2, $1 }')
named=$(awk '!/^#/ && NF > 2 { print $1, $2 }' tests/wall_clock.txt | sort)
if [ "$found" != "$named" ]; then
    echo "tests/wall_clock.txt says:"; echo "$named"
    echo "and there is:"; echo "$found"
    bad=1
fi
# What else would read it, or wait for a point of it.
calls='time|gettimeofday|timespec_get|ftime|uv_gettimeofday|uv_clock_gettime|X509_gmtime_adj|X509_cmp_current_time'
waits='pthread_timedjoin_np|sem_timedwait|cnd_timedwait|mtx_timedlock|pthread_mutex_timedlock'
if code "\\b($calls|$waits)\\("; then
    echo "not by the clock that is passed"
    bad=1
fi
exit $bad
