/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and requirements of tests of live update with PCI devices.
 */
#ifndef LU_NAMES_H
#define LU_NAMES_H

/* Prefix of the names of kprobe events, and name of the tracing instance. */
#define LU_GROUP	"liveupdate_pci"
/* The driver whose devices are used if LIVEUPDATE_TEST_BDF names none. */
#define LU_DRIVER	"liveupdate-test"

/* struct lu_subject_needs - requirements of the subject */
struct lu_subject_needs {
	bool users;
	bool incoming;
	bool no_live_update;
	bool fail;
};

#endif /* LU_NAMES_H */
