/* A wall clock that is some seconds off, for all processes of a node: named in its /etc/ld.so.preload. /run/skew has the seconds, as decimal
 * digits. Nothing else of the clocks is changed. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static long skew;

__attribute__((constructor)) static void read_skew(void)
{
	FILE *file = fopen("/run/skew", "re");
	if (!file)
		return;
	if (fscanf(file, "%ld", &skew) != 1)
		skew = 0;
	fclose(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int failed = (int)syscall(SYS_clock_gettime, clock, now);
	if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		now->tv_sec += skew;
	return failed;
}

time_t time(time_t *into)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (into)
		*into = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec exact;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &exact);
	now->tv_sec = exact.tv_sec;
	now->tv_usec = exact.tv_nsec / 1000;
	return 0;
}

/* The daemon has one timer, which is absolute and on CLOCK_REALTIME. */
int timerfd_settime(int timer, int flags, const struct itimerspec *set, struct itimerspec *before)
{
	struct itimerspec shifted = *set;
	if ((flags & TFD_TIMER_ABSTIME) && (set->it_value.tv_sec || set->it_value.tv_nsec)) {
		shifted.it_value.tv_sec -= skew;
		if (shifted.it_value.tv_sec < 1)
			shifted.it_value.tv_sec = 1;
	}
	return (int)syscall(SYS_timerfd_settime, timer, flags, &shifted, before);
}
