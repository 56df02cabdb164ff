/* The least that a cron can do: reads the tables of a directory, waits for minutes by timerfd, vforks, drops privileges,
 * execs `/bin/sh -c JOB`. It logs nothing, mails nothing, knows no PAM and checks nothing: a limit, no product.
 *
 *     floor DIRECTORY                runs the tables each minute
 *     floor --at SECOND DIRECTORY    runs every entry once, at that second of UTC
 *     floor --fork --at SECOND DIRECTORY   the same by fork: no process of a user shares memory with root's
 *     floor --pam --at SECOND DIRECTORY    the same in a session of PAM each, held open by a process (compiled with -DWITH_PAM)
 *     floor --mark FILE              a job: appends the time of its start to FILE, nanoseconds in 8 bytes, and ends
 *     floor --mark FILE --stay       the same, and stays until it is killed
 *     floor --descriptors FILE       a job: appends how many descriptors above 2 it was given, in 8 bytes
 *     floor --scan DIRECTORY         prints what looking through all entries for those that are due takes, in nanoseconds of CPU
 *     floor --stat DIRECTORY         prints what asking for the state of each file takes, their names being known
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct entry {
	uint64_t minute;
	uint32_t hour, day;
	uint16_t month;
	uint8_t weekday, either;
	uint32_t user;
	const char *job;
};
struct user {
	char name[32];
	uid_t uid;
	gid_t gid;
};

static struct entry *entries;
static size_t entry_count, entry_room;
static struct user *users;
static size_t user_count, user_room;

static int by_fork, with_pam;

static void *room(void *array, size_t count, size_t *have, size_t size)
{
	if (count < *have)
		return array;
	*have = *have ? *have + *have / 4 : 1024;
	return realloc(array, *have * size);
}

/* One field of numbers, lists, ranges and steps. */
static const char *field(const char *at, unsigned low, unsigned high, uint64_t *bits)
{
	*bits = 0;
	for (;; at++) {
		unsigned from = low, to = high, step = 1;
		if (*at == '*') {
			at++;
		} else {
			for (from = 0; *at >= '0' && *at <= '9'; at++)
				from = from * 10 + (unsigned)(*at - '0');
			to = from;
			if (*at == '-')
				for (to = 0, at++; *at >= '0' && *at <= '9'; at++)
					to = to * 10 + (unsigned)(*at - '0');
		}
		if (*at == '/')
			for (step = 0, at++; *at >= '0' && *at <= '9'; at++)
				step = step * 10 + (unsigned)(*at - '0');
		for (unsigned value = from; value <= to && value < 64 && step; value += step)
			*bits |= 1ull << value;
		if (*at != ',')
			break;
	}
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

static void line(const char *at, uint32_t user)
{
	if (*at != '*' && (*at < '0' || *at > '9'))
		return;
	struct entry e = { .user = user };
	uint64_t bits;
	at = field(at, 0, 59, &e.minute);
	at = field(at, 0, 23, &bits), e.hour = (uint32_t)bits;
	int day_star = *at == '*';
	at = field(at, 1, 31, &bits), e.day = (uint32_t)bits;
	at = field(at, 1, 12, &bits), e.month = (uint16_t)bits;
	int weekday_star = *at == '*';
	at = field(at, 0, 6, &bits), e.weekday = (uint8_t)bits;
	e.either = !day_star && !weekday_star;
	e.job = at;
	entries = room(entries, entry_count, &entry_room, sizeof *entries);
	entries[entry_count++] = e;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct user *)a)->name, ((const struct user *)b)->name);
}

static void load(const char *directory)
{
	/* One pass over the users, not one a table. */
	FILE *passwd = fopen("/etc/passwd", "re");
	for (struct passwd *p; passwd && (p = fgetpwent(passwd));) {
		users = room(users, user_count, &user_room, sizeof *users);
		struct user *u = &users[user_count++];
		snprintf(u->name, sizeof u->name, "%s", p->pw_name);
		u->uid = p->pw_uid, u->gid = p->pw_gid;
	}
	if (passwd)
		fclose(passwd);
	qsort(users, user_count, sizeof *users, by_name);
	DIR *d = opendir(directory);
	for (struct dirent *f; d && (f = readdir(d));) {
		struct user key = { 0 };
		snprintf(key.name, sizeof key.name, "%.31s", f->d_name);
		struct user *u = bsearch(&key, users, user_count, sizeof *users, by_name);
		int fd = u ? openat(dirfd(d), f->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
		struct stat s;
		if (fd < 0 || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
			continue;
		char *text = malloc((size_t)s.st_size + 1);
		ssize_t size = read(fd, text, (size_t)s.st_size);
		close(fd);
		text[size > 0 ? size : 0] = 0;
		for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
			*end = 0;
			line(at, (uint32_t)(u - users));
		}
	}
	closedir(d);
}

#ifdef WITH_PAM
/* As in security/pam_appl.h, which need not be installed. */
struct pam_conv {
	int (*talk)(int, const void **, void **, void *);
	void *data;
};
int pam_start(const char *, const char *, const struct pam_conv *, void **);
int pam_set_item(void *, int, const void *);
int pam_acct_mgmt(void *, int);
int pam_setcred(void *, int);
int pam_open_session(void *, int);
int pam_close_session(void *, int);
int pam_end(void *, int);
char **pam_getenvlist(void *);
enum { PAM_TTY = 3, PAM_CONV_ERR = 19, PAM_ESTABLISH_CRED = 2, PAM_DELETE_CRED = 4 };

static int silent(int count, const void **messages, void **answers, void *data)
{
	(void)count, (void)messages, (void)answers, (void)data;
	return PAM_CONV_ERR;
}
static const struct pam_conv conversation = { silent, NULL };

/* One transaction more, which is never ended, keeps the modules in memory for all that are forked. */
static void keep_modules(void)
{
	static void *kept;
	if (pam_start("cron", "root", &conversation, &kept) != 0 || pam_acct_mgmt(kept, 0) != 0)
		exit(1);
}

/* Forks a process that has a session open as long as what it forks itself, which returns with the session's environment. */
static char **in_session(const struct user *u)
{
	if (fork() != 0)
		return NULL;
	void *pam;
	if (pam_start("cron", u->name, &conversation, &pam) != 0 || pam_set_item(pam, PAM_TTY, "cron") != 0 ||
	    pam_acct_mgmt(pam, 0) != 0 || setgroups(1, &u->gid) != 0 || pam_setcred(pam, PAM_ESTABLISH_CRED) != 0 ||
	    pam_open_session(pam, 0) != 0)
		_exit(1);
	char **environment = pam_getenvlist(pam);
	pid_t job = fork();
	if (job == 0)
		return environment;
	waitpid(job, NULL, 0);
	pam_setcred(pam, PAM_DELETE_CRED);
	pam_close_session(pam, 0);
	pam_end(pam, 0);
	_exit(0);
}
#else
static void keep_modules(void)
{
	exit(2);
}
static char **in_session(const struct user *u)
{
	(void)u;
	return NULL;
}
#endif

static void run(const struct user *u, char **arguments, char **environment)
{
	if (setsid() >= 0 && setgroups(1, &u->gid) == 0 && setgid(u->gid) == 0 && setuid(u->uid) == 0)
		execve(arguments[0], arguments, environment);
	_exit(127);
}

static void start(const struct entry *e)
{
	const struct user *u = &users[e->user];
	char *environment[] = { "PATH=/usr/bin:/bin", "SHELL=/bin/sh", NULL };
	char *arguments[] = { "/bin/sh", "-c", (char *)e->job, NULL };
	if (with_pam) {
		char **of_session = in_session(u);
		if (of_session)
			run(u, arguments, of_session);
	} else if ((by_fork ? fork() : vfork()) == 0) {
		run(u, arguments, environment);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static int is_due(const struct entry *e, const struct tm *t)
{
	int day = e->day >> t->tm_mday & 1, weekday = e->weekday >> t->tm_wday & 1;
	return (e->minute >> t->tm_min & 1) && (e->hour >> t->tm_hour & 1) && (e->month >> (t->tm_mon + 1) & 1) &&
	       (e->either ? day || weekday : day && weekday);
}

static void start_due(time_t now, int all)
{
	struct tm t;
	localtime_r(&now, &t);
	for (size_t i = 0; i < entry_count; i++)
		if (all || is_due(&entries[i], &t))
			start(&entries[i]);
}

static int64_t ns_of(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A hundred minutes, one after the other: the entries lie in the caches. */
static int scan(void)
{
	size_t due = 0;
	int64_t before = ns_of(CLOCK_PROCESS_CPUTIME_ID);
	for (time_t minute = 0; minute < 100; minute++) {
		time_t now = minute * 60;
		struct tm t;
		gmtime_r(&now, &t);
		for (size_t i = 0; i < entry_count; i++)
			due += (size_t)is_due(&entries[i], &t);
	}
	int64_t spent = ns_of(CLOCK_PROCESS_CPUTIME_ID) - before;
	return printf("%lld\n%zu\n", (long long)(spent / 100), due) < 0;
}

static int stat_all(const char *directory)
{
	struct dirent **files;
	int count = scandir(directory, &files, NULL, NULL), fd = open(directory, O_RDONLY | O_DIRECTORY);
	int64_t before = ns_of(CLOCK_PROCESS_CPUTIME_ID), size = 0;
	for (int i = 0; i < count; i++) {
		struct stat s;
		if (fstatat(fd, files[i]->d_name, &s, AT_SYMLINK_NOFOLLOW) == 0)
			size += s.st_size;
	}
	int64_t spent = ns_of(CLOCK_PROCESS_CPUTIME_ID) - before;
	return printf("%lld\n%lld\n", (long long)spent, (long long)size) < 0;
}

static int append(const char *file, int64_t number)
{
	int fd = open(file, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, &number, sizeof number) != sizeof number)
		return 1;
	close(fd);
	return 0;
}

static int descriptors(const char *file)
{
	int64_t open = 0;
	for (int fd = 3; fd < 1024; fd++)
		open += fcntl(fd, F_GETFD) >= 0;
	return append(file, open);
}

static int mark(const char *file, int stay)
{
	if (append(file, ns_of(CLOCK_REALTIME)))
		return 1;
	while (stay)
		pause();
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "--mark") == 0)
		return mark(argv[2], argc > 3 && strcmp(argv[3], "--stay") == 0);
	if (argc > 2 && strcmp(argv[1], "--descriptors") == 0)
		return descriptors(argv[2]);
	if (argc > 2 && strcmp(argv[1], "--scan") == 0) {
		load(argv[2]);
		return scan();
	}
	if (argc > 2 && strcmp(argv[1], "--stat") == 0)
		return stat_all(argv[2]);
	for (int *flag; argc > 1; *flag = 1, argc--, argv++) {
		if (strcmp(argv[1], "--fork") == 0)
			flag = &by_fork;
		else if (strcmp(argv[1], "--pam") == 0)
			flag = &with_pam;
		else
			break;
	}
	if (with_pam)
		keep_modules();
	time_t at = argc > 3 && strcmp(argv[1], "--at") == 0 ? atoll(argv[2]) : 0;
	if (argc < 2)
		return 2;
	load(argv[argc - 1]);
	int timer = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	signal(SIGCHLD, SIG_DFL);
	for (time_t due = at ? at : time(NULL) / 60 * 60 + 60;; due += 60) {
		struct itimerspec when = { .it_value.tv_sec = due };
		uint64_t times;
		timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
		if (read(timer, &times, sizeof times) != sizeof times)
			return 1;
		start_due(due, at != 0);
		if (at) {
			while (wait(NULL) > 0)
				;
			pause();
		}
	}
}
