/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checks of the tests, in addition to those of the harness.
 */
#ifndef KT_H
#define KT_H

#include "kt_lib.h"

#include "kselftest_harness.h"

/*
 * Skips the test if its requirements are not met, and runs @statement ("return"). A
 * requirement that was met before a kexec must be met after it.
 */
#define NEEDS(statement, ...)								\
	do {										\
		const struct kt_needs __needs = { __VA_ARGS__ };			\
		const char *__lacking = kt_setup(&__needs);				\
											\
		ASSERT_TRUE(!__lacking || kt_is_first_kernel()) {			\
			TH_LOG("missing after the kexec: %s", __lacking);		\
		}									\
		if (__lacking)								\
			SKIP(statement, "%s", __lacking);				\
	} while (0)

/*
 * Runs @statement ("return") if @call does not return 0: the interleaving under test did not
 * come about. The test is skipped, unless a check failed before.
 */
#define INTERLEAVES(statement, call)							\
	do {										\
		int __ret = (call);							\
											\
		if (__ret) {								\
			TH_LOG("interleaving: %s returned %s", #call, kt_result(__ret));	\
			if (__test_passed(_metadata))					\
				SKIP((void)0, "interleaving: %s returned %s", #call,	\
				     kt_result(__ret));					\
			statement;							\
		}									\
	} while (0)

/* @call if it is none of the other values, else 0. */
#define ONE_OF(call, ...)								\
	kt_one_of(call, (const int[]){ __VA_ARGS__ },					\
		  sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

/* Checks how often the function @name was called since the setup. */
#define EXPECT_CALLS(n, name)								\
	do {										\
		ASSERT_EQ(0, kt_cannot_count());					\
		EXPECT_EQ(n, kt_calls(name));						\
	} while (0)
#define EXPECT_CALLS_MIN(n, name)							\
	do {										\
		ASSERT_EQ(0, kt_cannot_count());					\
		EXPECT_LE(n, kt_calls(name));						\
	} while (0)
#define EXPECT_CALLS_MAX(n, name)							\
	do {										\
		ASSERT_EQ(0, kt_cannot_count());					\
		EXPECT_GE(n, kt_calls(name));						\
	} while (0)

/* Checks that the first calls of the functions were in this order. */
#define EXPECT_ORDER(...)								\
	EXPECT_EQ(0, kt_calls_in_order((const char *const[]){ __VA_ARGS__, NULL }))

/* Checks how many lines with @text the kernel logged since the setup. */
#define EXPECT_LOG(n, text)								\
	do {										\
		ASSERT_EQ(0, kt_cannot_read_log());					\
		EXPECT_EQ(n, kt_log_lines(text));					\
	} while (0)
#define EXPECT_LOG_MIN(n, text)								\
	do {										\
		ASSERT_EQ(0, kt_cannot_read_log());					\
		EXPECT_LE(n, kt_log_lines(text));					\
	} while (0)
#define EXPECT_LOG_MAX(n, text)								\
	do {										\
		ASSERT_EQ(0, kt_cannot_read_log());					\
		EXPECT_GE(n, kt_log_lines(text));					\
	} while (0)

#endif /* KT_H */
