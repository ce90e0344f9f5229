/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Calls of kernel functions: counted by kprobe events, and for a test that asks
 * for it, in which order they came.
 */
#ifndef LU_TRACE_H
#define LU_TRACE_H

#include "lu_test.h"

/*
 * Brings the counts of all probed functions up to date. The events carry our
 * group in their names because kprobe_profile does not show the group.
 */
static inline int lu_read_calls(struct lu_test *lu)
{
	char name[128], wanted[128];
	unsigned int i, found = 0;
	unsigned long hits, missed;
	int ret = 0;
	FILE *file;

	file = fopen(LU_TRACING "/kprobe_profile", "re");
	if (!file)
		return -errno;
	while (fscanf(file, " %127s %lu %lu", name, &hits, &missed) == 3) {
		for (i = 0; i < lu->nr_probes; i++) {
			snprintf(wanted, sizeof(wanted), LU_GROUP "_%s", lu->probe[i]);
			if (strcmp(name, wanted))
				continue;
			lu->calls[i] = (int)hits;
			found++;
			/* A call that was not seen makes every count a guess. */
			if (missed)
				ret = -EIO;
		}
	}
	fclose(file);
	/* A probe that is gone has not counted zero calls, it has not counted. */
	if (!ret && found != lu->nr_probes)
		ret = -ENOENT;
	return ret;
}

/* Returns how often the kernel called @function since the test's setup. */
static inline int lu_calls(struct lu_test *lu, const char *function)
{
	unsigned int i;
	int ret;

	ret = lu_read_calls(lu);
	if (ret)
		return ret;
	for (i = 0; i < lu->nr_probes; i++) {
		if (!strcmp(lu->probe[i], function))
			return lu->calls[i];
	}
	return -ENOENT;
}

/*
 * Returns where in the trace the first call of the function that @name, @len
 * bytes long, names is, or NULL.
 */
static inline const char *lu_first_call(const char *trace, const char *name, size_t len)
{
	char event[LU_NAME_MAX * 2 + 16];

	snprintf(event, sizeof(event), ": " LU_GROUP "_%.*s: ", (int)len, name);
	return strstr(trace, event);
}

static inline int lu_calls_follow(const char *trace, const char *functions)
{
	const char *last = trace, *call;
	int ret = 0;
	size_t len;

	while (*functions) {
		len = strcspn(functions, ",");
		call = lu_first_call(trace, functions, len);
		if (!call)
			return -ENOENT;
		if (call < last)
			ret = -EBADMSG;
		last = call;
		functions += len + (functions[len] == ',');
	}
	return ret;
}

/* Says whether the head of a trace counts as many entries as were ever written. */
static inline bool lu_trace_is_whole(const char *trace)
{
	const char *head = strstr(trace, "# entries-in-buffer/entries-written: ");
	unsigned long kept, written;

	return head && sscanf(head, "# entries-in-buffer/entries-written: %lu/%lu", &kept,
			      &written) == 2 && kept == written;
}

/*
 * Returns 0 if the first call of each of the probed functions, which commas
 * separate in @functions, came in this order, -EBADMSG if in another one, -ENOENT
 * if one of them was not called since the test's setup, and -EOVERFLOW when
 * the trace has lost calls.
 */
static inline int lu_calls_in_order(struct lu_test *lu, const char *functions)
{
	char *trace;
	int ret;

	if (!lu->ordered)
		return -EINVAL;
	trace = malloc(LU_ORDER_MAX);
	if (!trace)
		return -ENOMEM;
	ret = lu_read_text(LU_INSTANCE "/trace", trace, LU_ORDER_MAX);
	if (!ret)
		ret = lu_trace_is_whole(trace) ? lu_calls_follow(trace, functions) : -EOVERFLOW;
	free(trace);
	return ret;
}

/*
 * Each event that comes or goes waits for several grace periods. Where the whole
 * machine is the test's (LIVEUPDATE_TEST_HURRY says so), they are hurried for that
 * time alone, so that what is under test keeps its own pace. Returns whether they
 * were hurried here, and so are to be slowed down again.
 */
static inline bool lu_hurry(void)
{
	char was = 0;
	int fd;

	if (!getenv("LIVEUPDATE_TEST_HURRY"))
		return false;
	fd = open(LU_RCU_EXPEDITED, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &was, 1) != 1)
		was = 0;
	close(fd);
	return was == '0' && !lu_write_text(LU_RCU_EXPEDITED, "1", 0);
}

static inline void lu_slow_down(bool hurried)
{
	if (hurried)
		lu_write_text(LU_RCU_EXPEDITED, "0", 0);
}

static inline void lu_remove_probes(struct lu_test *lu)
{
	bool hurried = lu_hurry();
	char line[256];
	unsigned int i;

	lu_write_text(LU_TRACING "/events/" LU_GROUP "/enable", "0", 0);
	lu_write_text(LU_INSTANCE "/events/" LU_GROUP "/enable", "0", 0);
	rmdir(LU_INSTANCE);
	for (i = 0; i < lu->nr_probes; i++) {
		snprintf(line, sizeof(line), "-:" LU_GROUP "/" LU_GROUP "_%s", lu->probe[i]);
		lu_write_text(LU_TRACING "/kprobe_events", line, O_APPEND);
	}
	lu_slow_down(hurried);
}

/*
 * Where the order is asked for, the events go to a trace of our own, which nobody
 * else writes to, with a clock that puts the calls on all processors in one order.
 */
static inline int lu_enable_events(struct lu_test *lu)
{
	if (!lu->ordered)
		return lu_write_text(LU_TRACING "/events/" LU_GROUP "/enable", "1", 0);
	if (mkdir(LU_INSTANCE, 0700) && errno != EEXIST)
		return -errno;
	lu_write_text(LU_INSTANCE "/buffer_size_kb", "64", 0);
	if (lu_write_text(LU_INSTANCE "/trace_clock", "counter", 0))
		return -EIO;
	return lu_write_text(LU_INSTANCE "/events/" LU_GROUP "/enable", "1", 0);
}

/* Says whether the kernel tells its functions' names, and this is none of them. */
static inline bool lu_lacks_function(const char *name, size_t len)
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

/* Says in the reason why the function that @where begins with cannot be probed. */
static inline void lu_cannot_probe(struct lu_test *lu, const char *where, const char *so, int ret)
{
	int len = (int)strcspn(where, "%");

	if (lu_lacks_function(where, len))
		snprintf(lu->reason, sizeof(lu->reason), "this kernel has no function %.*s", len,
			 where);
	else
		snprintf(lu->reason, sizeof(lu->reason), "%.*s: %s: %s", len, where, so,
			 strerror(-ret));
}

static inline int lu_enable_probes(struct lu_test *lu)
{
	char line[256];
	unsigned int i;
	int ret;

	for (i = 0; i < lu->nr_probes; i++) {
		snprintf(line, sizeof(line), "p:" LU_GROUP "/" LU_GROUP "_%s %s",
			 lu->probe[i], lu->probe[i]);
		ret = lu_write_text(LU_TRACING "/kprobe_events", line, O_APPEND);
		if (ret) {
			lu_cannot_probe(lu, lu->probe[i], "its calls cannot be counted", ret);
			return ret;
		}
	}
	ret = lu_enable_events(lu);
	if (ret)
		snprintf(lu->reason, sizeof(lu->reason), "kprobe events cannot be enabled: %s",
			 strerror(-ret));
	return ret;
}

static inline int lu_add_probes(struct lu_test *lu)
{
	bool hurried;
	int ret;

	if (!lu->nr_probes)
		return 0;
	/* A test that was killed may have left its events behind. */
	lu_remove_probes(lu);
	hurried = lu_hurry();
	ret = lu_enable_probes(lu);
	lu_slow_down(hurried);
	return ret;
}

#endif /* LU_TRACE_H */
