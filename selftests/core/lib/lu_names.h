/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and requirements of the subject of the tests. A folder with another subject has its
 * own version of this file.
 */
#ifndef LU_NAMES_H
#define LU_NAMES_H

/* Prefix of the names of kprobe events, and name of the tracing instance. */
#define LU_GROUP	"kselftest"
/* The driver whose devices are used if LIVEUPDATE_TEST_BDF names none. */
#define LU_DRIVER	""

/* struct lu_subject_needs - requirements of the subject */
struct lu_subject_needs {
};

#endif /* LU_NAMES_H */
