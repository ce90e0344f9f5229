/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of the running test, and functions that the helpers share.
 */
#ifndef KT_STATE_H
#define KT_STATE_H

#include "kt_lib.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KT_PCI		"/sys/bus/pci"
#define KT_TRACING	"/sys/kernel/tracing"
#define KT_FAILSLAB	"/sys/kernel/debug/failslab"
#define KT_FAIL_NTH	"/proc/thread-self/fail-nth"
#define KT_SYNC_MODULE	"sync_point"
#define KT_SYNC_FILE	"/sys/kernel/debug/" KT_SYNC_MODULE

#define KT_DEVICES_MAX	8
#define KT_VFS_MAX	8
#define KT_PROCESSES_MAX	8
#define KT_NAME_MAX	64
#define KT_PATH_MAX	512

/* Returned by kt_leaks() if kmemleak is not available. */
#define KT_NO_KMEMLEAK	(-EOPNOTSUPP)

/* struct kt_device - state of a device at the setup of the test */
struct kt_device {
	char bdf[KT_NAME_MAX];
	char path[KT_PATH_MAX];
	unsigned int nr_vfs;
	bool was_present;
	bool was_bound;
	char slot[KT_NAME_MAX];
};

/* struct kt_vf - address of a virtual function, kept after its virtfn link is removed */
struct kt_vf {
	unsigned int dev;
	char bdf[KT_NAME_MAX];
};

/* struct kt_thread - a thread, its step, and the result of the step */
struct kt_thread {
	pthread_t thread;
	pid_t tid;
	int cpu;
	int (*step)(void *data);
	void *data;
	int ret;
	unsigned int *meeting;
	long long delay;
	__u64 start;
	__u64 end;
	sem_t ready;
	sem_t gate;
	bool called_off;
	bool ended;
	bool running;
	bool lost;
};

/* struct kt_races - how often each side of a race ended first, and the typical duration */
struct kt_races {
	unsigned int rounds;
	unsigned int a_first;
	unsigned int b_first;
	__u64 typical;
};

/* struct kt_state - state of the test */
struct kt_state {
	struct kt_needs needs;
	char reason[256];
	int subject_fd;
	/* The test has opened this descriptor and all above it. */
	int first_fd;
	unsigned int nr_devices;
	struct kt_device device[KT_DEVICES_MAX];
	unsigned int nr_vfs;
	struct kt_vf vf[KT_VFS_MAX];
	bool removed;
	bool has_keeper;
	unsigned int nr_calls;
	int calls[KT_NEEDED_MAX];
	int kmsg;
	char *log;
	size_t log_len;
	unsigned int nr_processes;
	pid_t process[KT_PROCESSES_MAX];
	/* The file of the sync point, and whether the time limit has released the thread. */
	int hold;
	bool hold_loaded;
	bool expired;
	struct kt_thread held;
	struct kt_thread waiting;
	struct kt_races races;
	cpu_set_t cpus;
	bool pinned;
	int fail_nth;
	bool failslab;
	char ignore_gfp_wait[8];
	char verbose[8];
	/* When the test began, in jiffies, and whether the kernel cannot count leaks. */
	unsigned long long leaks_since;
	bool no_kmemleak;
};

extern struct kt_state kt;

/* Texts, files and time */
int kt_copy(char *to, const char *from, size_t size);
void kt_close(int *fd);
int kt_write_text(const char *path, const char *text, int flags);
int kt_read_text(const char *path, char *text, size_t size);
int kt_read_line(const char *path, char *text, size_t size);
bool kt_lacks_file(const char *path, int mode);
__u64 kt_now_nsecs(void);
__u64 kt_deadline(unsigned int secs);
void kt_pause_msecs(unsigned int msecs);

/* The subject of the tests, which each folder has its own version of */
bool kt_subject_lacks(const struct kt_needs *needs);
void kt_subject_reset(void);

/* Setup and teardown of the parts */
bool kt_lacks_devices(unsigned int devices);
bool kt_lacks_slot_power(void);
bool kt_lacks_vfs(void);
void kt_restore_devices(void);
bool kt_lacks_cpus(unsigned int wanted);
bool kt_lacks_sync_points(void);
int kt_end_threads(void);
void kt_unload_sync_module(void);
void kt_disarm_faults(void);
int kt_begin_leaks(void);
bool kt_lacks_log(void);
int kt_add_probes(void);
void kt_remove_probes(void);
void kt_kill_processes(void);
bool kt_hurry(void);
void kt_slow_down(bool hurried);
void kt_cannot_probe(const char *where, const char *effect, int ret);
int kt_read_calls(void);

#endif /* KT_STATE_H */
