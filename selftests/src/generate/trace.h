/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Prints each step of a test with its result, and before each failed check, the step that the
 * check belongs to. The testbed includes this file in front of a program, which runs without
 * it, too. The table of steps and a macro for each function of a step follow.
 */
#include <stdio.h>
#include <string.h>

/* One stream for diagnostics and results keeps their order in a pipe. */
#define TH_LOG_STREAM	(kt_at(__FILE__, __LINE__), stdout)

/* struct kt_lines - the lines of a step in the program */
struct kt_lines {
	int first;
	int last;
	int step;
	/* The label is printed once calls in these lines have returned this many times. */
	unsigned int times;
	const char *label;
	unsigned int seen;
};

static inline struct kt_lines *kt_find(const char *file, int line);

/* Prints the step of a line in the program, before the message of a check in this line. */
static inline void kt_at(const char *file, int line)
{
	const struct kt_lines *lines = kt_find(file, line);

	if (lines)
		printf("# at step %d\n", lines->step);
}

#include "kt.h"
#include "kt_state.h"

/* The process that starts the program has a limit for each test. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	KT_TIMEOUT
#undef TEST_F_TIMEOUT
#define TEST_F_TIMEOUT(fixture, test, timeout)	__TEST_F_IMPL(fixture, test, -1, KT_TIMEOUT)

/* Prints the step of a line, and the counted functions that were called since the last step. */
static inline void kt_done(const char *file, int line, const char *result)
{
	struct kt_lines *lines = kt_find(file, line);
	int before[KT_NEEDED_MAX];
	char calls[512] = "";
	size_t len = 0;
	unsigned int i;

	if (!lines || !lines->label || ++lines->seen != lines->times)
		return;
	memcpy(before, kt.calls, sizeof(before));
	if (kt.nr_calls)
		kt_read_calls();
	for (i = 0; i < kt.nr_calls && len < sizeof(calls); i++) {
		if (kt.calls[i] == before[i])
			continue;
		len += snprintf(calls + len, sizeof(calls) - len, "%s%s +%d", len ? ", " : " [",
				kt.needs.calls[i], kt.calls[i] - before[i]);
	}
	ksft_print_msg("step %s -> %s%s%s\n", lines->label, result, calls, len ? "]" : "");
}

/* The first check of a step without a call: it reads the counts that the step prints. */
#define KT_CHECK(call)									\
	({										\
		kt_done(__FILE__, __LINE__, "ok");					\
		(call);									\
	})

/* A call that returns a number, a text, the number of leaks or nothing. */
#define KT_NUMBER(call)									\
	({										\
		__typeof__(call) __number = (call);					\
											\
		kt_done(__FILE__, __LINE__, kt_result(__number < 0 ? (int)__number : 0));	\
		__number;								\
	})
#define KT_TEXT(call)									\
	({										\
		const char *__text = (call);						\
											\
		kt_done(__FILE__, __LINE__, strncmp(__text, "-E", 2) ? "ok" : __text);	\
		__text;									\
	})
#define KT_LEAKS(call)									\
	({										\
		int __leaks = (call);							\
											\
		kt_done(__FILE__, __LINE__,						\
			kt.no_kmemleak ? "skipped: kmemleak is not on" :		\
			__leaks > 0 ? "leaks found" : kt_result(__leaks));		\
		__leaks;								\
	})
#define KT_NOTHING(call)								\
	({										\
		(void)(call);								\
		kt_done(__FILE__, __LINE__, "ok");					\
	})
