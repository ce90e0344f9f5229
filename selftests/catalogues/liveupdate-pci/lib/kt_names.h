/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Names and requirements of tests of live update with PCI devices.
 */
#ifndef KT_NAMES_H
#define KT_NAMES_H

/* Prefix of the names of kprobe events, and name of the tracing instance. */
#define KT_GROUP	"liveupdate_pci"
/* The driver whose devices are used if KT_DEVICES names none. */
#define KT_DRIVER	"liveupdate-test"

/* struct kt_subject_needs - requirements of the subject */
struct kt_subject_needs {
	bool users;
	bool incoming;
	bool no_live_update;
	bool fail;
};

#endif /* KT_NAMES_H */
