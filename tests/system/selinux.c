/* A stand-in for libselinux.so.1 with a small policy of its own: this kernel has no SELinux. It notes which context a process
 * asked for in /run/contexts. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int give(char **to, const char *context)
{
    *to = strdup(context);
    return 0;
}

int is_selinux_enabled(void) { return 1; }

/* As when a directory server does not answer: for remy as long as there is a file. */
int getseuserbyname(const char *name, char **user, char **level)
{
    while (!strcmp(name, "remy") && !access("/run/hang", F_OK))
        usleep(10000);
    give(user, strcmp(name, "alice") ? "user_u" : "staff_u");
    return give(level, "s0-s0:c0.c9");
}

int get_default_context_with_level(const char *user, const char *level, const char *from, char **context)
{
    char text[200];
    (void)from;
    snprintf(text, sizeof text, "%s:cron_r:cronjob_t:%s", user, level);
    return give(context, text);
}

int get_default_context_with_rolelevel(const char *user, const char *role, const char *level, const char *from, char **context)
{
    char text[200];
    (void)level;
    (void)from;
    snprintf(text, sizeof text, "%s:%s:system_cronjob_t:s0", user, role);
    return give(context, text);
}

int selinux_trans_to_raw_context(const char *context, char **raw) { return give(raw, context); }
int getcon_raw(char **context) { return give(context, "system_u:system_r:crond_t:s0"); }
int getprevcon_raw(char **context) { return give(context, "staff_u:staff_r:staff_t:s0-s0:c3"); }

int setexeccon_raw(const char *context)
{
    FILE *notes = fopen("/run/contexts", "a");
    fprintf(notes, "%s\n", context);
    return fclose(notes);
}

/* A spool file may be an entry point; a range holds s0 with any categories. */
int selinux_check_access(const char *from, const char *to, const char *class, const char *permission, void *data)
{
    (void)data;
    if (!strcmp(class, "file") && !strcmp(permission, "entrypoint"))
        return strstr(to, ":user_cron_spool_t:") || strstr(to, ":system_cron_spool_t:") ? 0 : -1;
    if (!strcmp(class, "context") && !strcmp(permission, "contains"))
        return strstr(to, "_t:s0") ? 0 : -1;
    if (!strcmp(class, "passwd") && !strcmp(permission, "crontab"))
        return strcmp(from, to);
    return -1;
}
