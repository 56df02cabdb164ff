/* A clock for tests, preloaded into an unchanged crond and its jobs.
 *
 * CRONWHEEL_TEST_CLOCK names a file that the test and all these processes share (struct page) and, with ".timer" behind it, a
 * FIFO. Both clocks go on with the machine's CLOCK_MONOTONIC, each so much ahead of it as the page says: the test lets time
 * pass by moving both, and sets the clock, or lets the machine sleep, by moving CLOCK_REALTIME alone. CLOCK_BOOTTIME is
 * CLOCK_MONOTONIC and the time for which the machine has slept.
 *
 * The timer on CLOCK_REALTIME is the FIFO: it becomes readable when the test writes to it, which it does when it has moved the clock
 * to the second that the timer is armed for or past it, or when it has set the clock.
 *
 * Nothing is locked and nothing is kept in the process but the page's address and the timer's descriptor, so that fork(2) is
 * safe. Without the variable everything is as the kernel has it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Eight bytes a field: tests/clock/fake.rs has the same list. */
struct page {
	_Atomic int64_t realtime_ahead; /* nanoseconds */
	_Atomic int64_t monotonic_ahead;
	_Atomic int64_t armed;         /* the second for which the timer is armed; 0 when it is not */
	_Atomic int64_t times_armed;
	_Atomic int64_t was_set;       /* the clock was set since the timer was last armed or read */
	_Atomic int64_t set_on_arming; /* seconds by which the clock is set in the moment the timer is armed next */
	_Atomic int64_t slept;         /* nanoseconds for which the machine has slept */
};

static const int64_t SECOND = 1000000000;

static struct page *page;
static char fifo_path[PATH_MAX];
static int timer = -1;
static pid_t timer_owner;

__attribute__((constructor)) static void open_page(void)
{
	const char *path = getenv("CRONWHEEL_TEST_CLOCK");
	if (!path)
		return;
	int file = open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		return;
	void *memory = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (memory == MAP_FAILED)
		return;
	snprintf(fifo_path, sizeof fifo_path, "%s.timer", path);
	page = memory;
}

static int64_t machine_ns(void)
{
	struct timespec now;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec;
}

static int64_t realtime_ns(void)
{
	return machine_ns() + page->realtime_ahead;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int64_t ns;
	if (!page)
		return (int)syscall(SYS_clock_gettime, clock, now);
	switch (clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
		ns = realtime_ns();
		break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
		ns = machine_ns() + page->monotonic_ahead;
		break;
	case CLOCK_BOOTTIME:
		ns = machine_ns() + page->monotonic_ahead + page->slept;
		break;
	default:
		return (int)syscall(SYS_clock_gettime, clock, now);
	}
	now->tv_sec = ns / SECOND;
	now->tv_nsec = ns % SECOND;
	return 0;
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

static int is_timer(int descriptor)
{
	/* A child may have closed it and opened something else under its number. */
	return page && descriptor == timer && descriptor >= 0 && timer_owner == getpid();
}

static void drain(void)
{
	char bytes[64];
	while (syscall(SYS_read, timer, bytes, sizeof bytes) > 0)
		;
}

static void expire(void)
{
	/* A full FIFO is readable as well. */
	if (syscall(SYS_write, timer, "!", 1) < 0 && errno != EAGAIN)
		perror("the test clock's timer");
}

int timerfd_create(int clock, int flags)
{
	if (!page || clock != CLOCK_REALTIME)
		return (int)syscall(SYS_timerfd_create, clock, flags);
	if (timer >= 0 && timer_owner == getpid()) {
		errno = EMFILE; /* there is one timer */
		return -1;
	}
	int fifo = open(fifo_path, O_RDWR | O_NONBLOCK | (flags & TFD_CLOEXEC ? O_CLOEXEC : 0));
	if (fifo < 0)
		return -1;
	timer = fifo;
	timer_owner = getpid();
	page->armed = 0;
	page->was_set = 0;
	drain();
	return fifo;
}

/* Takes the daemon's one way to arm it: absolute, once, cancelled when the clock is set. Anything else is refused. */
int timerfd_settime(int descriptor, int flags, const struct itimerspec *when, struct itimerspec *before)
{
	if (!is_timer(descriptor))
		return (int)syscall(SYS_timerfd_settime, descriptor, flags, when, before);
	if (flags != (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) || before || when->it_value.tv_nsec ||
	    when->it_interval.tv_sec || when->it_interval.tv_nsec) {
		errno = EINVAL;
		return -1;
	}
	int64_t step = atomic_exchange(&page->set_on_arming, 0);
	if (step) {
		page->realtime_ahead += step * SECOND;
		page->was_set = 1;
	}
	drain();
	page->armed = when->it_value.tv_sec;
	int was_set = atomic_exchange(&page->was_set, 0) != 0;
	if (page->armed * SECOND <= realtime_ns())
		expire();
	page->times_armed++;
	if (was_set) {
		errno = ECANCELED;
		return -1;
	}
	return 0;
}

ssize_t read(int descriptor, void *into, size_t size)
{
	if (!is_timer(descriptor) || size < sizeof(uint64_t))
		return syscall(SYS_read, descriptor, into, size);
	drain();
	if (atomic_exchange(&page->was_set, 0)) {
		errno = ECANCELED;
		return -1;
	}
	int64_t due = page->armed;
	if (due == 0 || due * SECOND > realtime_ns()) {
		errno = EAGAIN;
		return -1;
	}
	page->armed = 0;
	*(uint64_t *)into = 1;
	return sizeof(uint64_t);
}
