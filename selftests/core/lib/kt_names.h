/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and requirements of the subject of the tests. A folder with another subject has its
 * own version of this file.
 */
#ifndef KT_NAMES_H
#define KT_NAMES_H

/* Prefix of the names of kprobe events, and name of the tracing instance. */
#define KT_GROUP	"kselftest"
/* The driver whose devices are used if KT_DEVICES names none. */
#define KT_DRIVER	""

/* struct kt_subject_needs - requirements of the subject */
struct kt_subject_needs {
};

#endif /* KT_NAMES_H */
