/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Report of a step in the test output.
 */
#ifndef LU_STEP_H
#define LU_STEP_H

#include "lu_trace.h"

/* Prints a step, its result, and the probed functions that were called since the last step. */
static inline void lu_report_step(struct lu_test *lu, const char *step, const char *result)
{
	int before[LU_PROBES_MAX];
	char calls[512] = "";
	size_t len = 0;
	unsigned int i;

	memcpy(before, lu->calls, sizeof(before));
	if (lu->nr_probes)
		lu_read_calls(lu);
	for (i = 0; i < lu->nr_probes && len < sizeof(calls); i++) {
		if (lu->calls[i] == before[i])
			continue;
		len += snprintf(calls + len, sizeof(calls) - len, "%s%s +%d", len ? ", " : " [",
				lu->probe[i], lu->calls[i] - before[i]);
	}
	ksft_print_msg("step %s -> %s%s%s\n", step, result, calls, len ? "]" : "");
}

/* Prints a step that returned @ret. */
static inline void lu_step(struct lu_test *lu, const char *step, int ret)
{
	lu_report_step(lu, step, lu_result(ret));
}

#endif /* LU_STEP_H */
