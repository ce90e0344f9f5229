/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update sessions, and the test driver: the files of its devices, and its files in
 * debugfs for users of its FLBs inside the kernel and for callbacks that fail on request.
 */
#ifndef LIVEUPDATE_PCI_H
#define LIVEUPDATE_PCI_H

#include "kt_lib.h"

#define LU_DEBUG	"/sys/kernel/debug/" KT_DRIVER

/* Sessions */
int lu_create_session(const char *name);
int lu_create_sessions(const char *name, unsigned int times);
int lu_retrieve_session(const char *name);
int lu_retrieve_unanswered(const char *name);
const char *lu_session_name(int session);
int lu_preserve(int session, int fd, __u64 token);
int lu_retrieve(int session, __u64 token);
int lu_finish(int session);

/* The test driver */
int lu_open_device(unsigned int dev);
int lu_write_register(int fd, off_t at, __u64 value);
long long lu_read_register(int fd, off_t at);
int lu_user(int *fd, const char *file, const char *command);
int lu_fail(const char *callback, int error, unsigned int times);
void lu_reset_driver(void);

#endif /* LIVEUPDATE_PCI_H */
