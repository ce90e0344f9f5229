/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Number and order of kernel function calls, measured with kprobe events.
 */
#ifndef LU_TRACE_H
#define LU_TRACE_H

#include "lu_test.h"

/*
 * Updates the counts of all probed functions. The event names contain the group name,
 * because kprobe_profile does not show the group.
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
			/* With missed hits, the count is unknown. */
			if (missed)
				ret = -EIO;
		}
	}
	fclose(file);
	/* A removed probe is an error, not a count of zero. */
	if (!ret && found != lu->nr_probes)
		ret = -ENOENT;
	return ret;
}

/* Returns the number of calls of @function since the setup of the test. */
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
 * Returns the first call of the function @name (@len bytes, not terminated) in the trace,
 * or NULL.
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

/* Returns whether the trace has all entries that were written to it. */
static inline bool lu_trace_is_whole(const char *trace)
{
	const char *head = strstr(trace, "# entries-in-buffer/entries-written: ");
	unsigned long present, written;

	return head && sscanf(head, "# entries-in-buffer/entries-written: %lu/%lu", &present,
			      &written) == 2 && present == written;
}

/*
 * Checks the order of the first calls of the probed functions in @functions, a list
 * separated by commas. Returns -EBADMSG for another order, -ENOENT if a function was not
 * called since the setup of the test, and -EOVERFLOW if the trace has lost calls.
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
 * Adding or removing a probe waits for several RCU grace periods. If
 * LIVEUPDATE_TEST_HURRY is set, because no other work runs on the machine, they are
 * expedited while probes are added and removed, but not during the test. Returns whether it
 * expedited grace periods; the caller passes this value to lu_slow_down().
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
 * To check the order of calls, the events go to a trace instance of their own, with a
 * clock that is ordered across CPUs.
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

/* Returns whether /proc/kallsyms is readable and does not have the function. */
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

/* Sets the skip reason for the function in @where ("FUNCTION" or "FUNCTION%return"). */
static inline void lu_cannot_probe(struct lu_test *lu, const char *where, const char *effect,
				   int ret)
{
	int len = (int)strcspn(where, "%");

	if (lu_lacks_function(where, len))
		snprintf(lu->reason, sizeof(lu->reason), "no function %.*s in this kernel", len,
			 where);
	else
		snprintf(lu->reason, sizeof(lu->reason), "%.*s %s: %s", len, where, effect,
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
			lu_cannot_probe(lu, lu->probe[i], "cannot be probed", ret);
			return ret;
		}
	}
	ret = lu_enable_events(lu);
	if (ret)
		snprintf(lu->reason, sizeof(lu->reason), "cannot enable kprobe events: %s",
			 strerror(-ret));
	return ret;
}

static inline int lu_add_probes(struct lu_test *lu)
{
	bool hurried;
	int ret;

	if (!lu->nr_probes)
		return 0;
	/* A killed test may have left its events behind. */
	lu_remove_probes(lu);
	hurried = lu_hurry();
	ret = lu_enable_probes(lu);
	lu_slow_down(hurried);
	return ret;
}

#endif /* LU_TRACE_H */
