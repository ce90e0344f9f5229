// SPDX-License-Identifier: GPL-2.0-only
/*
 * Number and order of kernel function calls, measured with kprobe events. Lines of the
 * kernel log since the setup of the test.
 */
#include <sys/stat.h>

#include "kt_state.h"

#define KT_INSTANCE	KT_TRACING "/instances/" KT_GROUP
#define KT_RCU_EXPEDITED	"/sys/kernel/rcu_expedited"
#define KT_LOG_MAX	(256 * 1024)
#define KT_ORDER_MAX	(1024 * 1024)

/*
 * Updates the counts of all probed functions. The event names contain the group name,
 * because kprobe_profile does not show the group.
 */
int kt_read_calls(void)
{
	char name[128], wanted[128];
	unsigned int i, found = 0;
	unsigned long hits, missed;
	int ret = 0;
	FILE *file;

	file = fopen(KT_TRACING "/kprobe_profile", "re");
	if (!file)
		return -errno;
	while (fscanf(file, " %127s %lu %lu", name, &hits, &missed) == 3) {
		for (i = 0; i < kt.nr_calls; i++) {
			snprintf(wanted, sizeof(wanted), KT_GROUP "_%s", kt.needs.calls[i]);
			if (strcmp(name, wanted))
				continue;
			kt.calls[i] = (int)hits;
			found++;
			/* With missed hits, the count is unknown. */
			if (missed)
				ret = -EIO;
		}
	}
	fclose(file);
	/* A removed probe is an error, not a count of zero. */
	if (!ret && found != kt.nr_calls)
		ret = -ENOENT;
	return ret;
}

/* Returns the error of counting calls, or 0. */
int kt_cannot_count(void)
{
	return kt_read_calls();
}

/* Returns the number of calls of @function since the setup of the test. */
int kt_calls(const char *function)
{
	unsigned int i;
	int ret;

	ret = kt_read_calls();
	if (ret)
		return ret;
	for (i = 0; i < kt.nr_calls; i++) {
		if (!strcmp(kt.needs.calls[i], function))
			return kt.calls[i];
	}
	return -ENOENT;
}

/* Returns the first call of the function @name in the trace, or NULL. */
static const char *kt_first_call(const char *trace, const char *name)
{
	char event[KT_NAME_MAX * 2 + 16];

	snprintf(event, sizeof(event), ": " KT_GROUP "_%s: ", name);
	return strstr(trace, event);
}

static int kt_calls_follow(const char *trace, const char *const *functions)
{
	const char *last = trace, *call;
	int ret = 0;

	for (; *functions; functions++) {
		call = kt_first_call(trace, *functions);
		if (!call)
			return -ENOENT;
		if (call < last)
			ret = -EBADMSG;
		last = call;
	}
	return ret;
}

/* Returns whether the trace has all entries that were written to it. */
static bool kt_trace_is_whole(const char *trace)
{
	const char *head = strstr(trace, "# entries-in-buffer/entries-written: ");
	unsigned long present, written;

	return head && sscanf(head, "# entries-in-buffer/entries-written: %lu/%lu", &present,
			      &written) == 2 && present == written;
}

/*
 * Checks the order of the first calls of the probed functions in @functions, which ends with
 * NULL. Returns -EBADMSG for another order, -ENOENT if a function was not
 * called since the setup of the test, and -EOVERFLOW if the trace has lost calls.
 */
int kt_calls_in_order(const char *const *functions)
{
	char *trace;
	int ret;

	if (!kt.needs.order)
		return -EINVAL;
	trace = malloc(KT_ORDER_MAX);
	if (!trace)
		return -ENOMEM;
	ret = kt_read_text(KT_INSTANCE "/trace", trace, KT_ORDER_MAX);
	if (!ret)
		ret = kt_trace_is_whole(trace) ? kt_calls_follow(trace, functions) : -EOVERFLOW;
	free(trace);
	return ret;
}

/*
 * Adding or removing a probe waits for several RCU grace periods. If
 * KT_HURRY is set, because no other work runs on the machine, they are
 * expedited while probes are added and removed, but not during the test. Returns whether it
 * expedited grace periods; the caller passes this value to kt_slow_down().
 */
bool kt_hurry(void)
{
	char was = 0;
	int fd;

	if (!getenv("KT_HURRY"))
		return false;
	fd = open(KT_RCU_EXPEDITED, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &was, 1) != 1)
		was = 0;
	close(fd);
	return was == '0' && !kt_write_text(KT_RCU_EXPEDITED, "1", 0);
}

void kt_slow_down(bool hurried)
{
	if (hurried)
		kt_write_text(KT_RCU_EXPEDITED, "0", 0);
}

void kt_remove_probes(void)
{
	bool hurried = kt_hurry();
	char line[256];
	unsigned int i;

	kt_write_text(KT_TRACING "/events/" KT_GROUP "/enable", "0", 0);
	kt_write_text(KT_INSTANCE "/events/" KT_GROUP "/enable", "0", 0);
	rmdir(KT_INSTANCE);
	for (i = 0; i < kt.nr_calls; i++) {
		snprintf(line, sizeof(line), "-:" KT_GROUP "/" KT_GROUP "_%s", kt.needs.calls[i]);
		kt_write_text(KT_TRACING "/kprobe_events", line, O_APPEND);
	}
	kt_slow_down(hurried);
}

/*
 * To check the order of calls, the events go to a trace instance of their own, with a
 * clock that is ordered across CPUs.
 */
static int kt_enable_events(void)
{
	if (!kt.needs.order)
		return kt_write_text(KT_TRACING "/events/" KT_GROUP "/enable", "1", 0);
	if (mkdir(KT_INSTANCE, 0700) && errno != EEXIST)
		return -errno;
	kt_write_text(KT_INSTANCE "/buffer_size_kb", "64", 0);
	if (kt_write_text(KT_INSTANCE "/trace_clock", "counter", 0))
		return -EIO;
	return kt_write_text(KT_INSTANCE "/events/" KT_GROUP "/enable", "1", 0);
}

/* Returns whether /proc/kallsyms is readable and does not have the function. */
static bool kt_lacks_function(const char *name, size_t len)
{
	char line[512], found[256];
	unsigned int functions = 0;
	bool lacks = true;
	FILE *file;

	file = fopen("/proc/kallsyms", "re");
	if (!file)
		return false;
	while (lacks && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%*s %*c %255s", found) != 1)
			continue;
		functions++;
		lacks = strncmp(found, name, len) || found[len];
	}
	fclose(file);
	return functions && lacks;
}

/* Sets the skip reason for the function in @where ("FUNCTION" or "FUNCTION%return"). */
void kt_cannot_probe(const char *where, const char *effect, int ret)
{
	int len = (int)strcspn(where, "%");

	if (kt_lacks_function(where, len))
		snprintf(kt.reason, sizeof(kt.reason), "no function %.*s in this kernel", len,
			 where);
	else
		snprintf(kt.reason, sizeof(kt.reason), "%.*s %s: %s", len, where, effect,
			 strerror(-ret));
}

static int kt_enable_probes(void)
{
	char line[256];
	unsigned int i;
	int ret;

	for (i = 0; i < kt.nr_calls; i++) {
		snprintf(line, sizeof(line), "p:" KT_GROUP "/" KT_GROUP "_%s %s",
			 kt.needs.calls[i], kt.needs.calls[i]);
		ret = kt_write_text(KT_TRACING "/kprobe_events", line, O_APPEND);
		if (ret) {
			kt_cannot_probe(kt.needs.calls[i], "cannot be probed", ret);
			return ret;
		}
	}
	ret = kt_enable_events();
	if (ret)
		snprintf(kt.reason, sizeof(kt.reason), "cannot enable kprobe events: %s",
			 strerror(-ret));
	return ret;
}

int kt_add_probes(void)
{
	bool hurried;
	int ret;

	while (kt.nr_calls < KT_NEEDED_MAX && kt.needs.calls[kt.nr_calls])
		kt.nr_calls++;
	if (!kt.nr_calls)
		return 0;
	/* A killed test may have left its events behind. */
	kt_remove_probes();
	hurried = kt_hurry();
	ret = kt_enable_probes();
	kt_slow_down(hurried);
	return ret;
}

/* Appends new records of the kernel to kt.log. Records from user space are skipped. */
static int kt_read_log(void)
{
	char record[8192];
	unsigned int prio;
	char *text, *end;
	ssize_t len;

	for (;;) {
		len = read(kt.kmsg, record, sizeof(record) - 1);
		if (len < 0 && errno == EAGAIN)
			return 0;
		if (len < 0)
			return -errno;
		record[len] = '\0';
		text = strchr(record, ';');
		if (!text || sscanf(record, "%u,", &prio) != 1)
			return -EIO;
		if (prio >> 3)
			continue;
		text++;
		end = strchr(text, '\n');
		len = end ? end - text + 1 : (ssize_t)strlen(text);
		if (kt.log_len + len >= KT_LOG_MAX)
			return -ENOSPC;
		memcpy(kt.log + kt.log_len, text, len);
		kt.log_len += len;
		kt.log[kt.log_len] = '\0';
	}
}

/* Returns the error of reading the kernel log, or 0. */
int kt_cannot_read_log(void)
{
	return kt_read_log();
}

/* Returns the number of lines with @text that the kernel logged since the setup. */
int kt_log_lines(const char *text)
{
	char *line = kt.log, *hit, *end;
	int ret, count = 0;

	ret = kt_read_log();
	if (ret)
		return ret;
	while ((hit = strstr(line, text))) {
		count++;
		end = strchr(hit, '\n');
		if (!end)
			break;
		line = end + 1;
	}
	return count;
}

bool kt_lacks_log(void)
{
	kt.log = calloc(1, KT_LOG_MAX);
	kt.kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kt.log && kt.kmsg >= 0 && lseek(kt.kmsg, 0, SEEK_END) >= 0)
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "cannot read /dev/kmsg: %s",
		 strerror(errno));
	return true;
}
