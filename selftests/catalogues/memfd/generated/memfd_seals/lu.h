/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the tests: PCI devices, files, processes and threads, counts of kernel function
 * calls, the kernel log, fault injection, sync points and races.
 *
 * Unless documented otherwise, the helpers return 0, a file descriptor or a count on
 * success, and a negative errno on failure. They make no assertions, and print only
 * through kselftest.h.
 */
#ifndef LU_H
#define LU_H

#include "lu_device.h"
#include "lu_fault.h"
#include "lu_file.h"
#include "lu_keeper.h"
#include "lu_kexec.h"
#include "lu_leak.h"
#include "lu_log.h"
#include "lu_machine.h"
#include "lu_main.h"
#include "lu_path.h"
#include "lu_process.h"
#include "lu_race.h"
#include "lu_setup.h"
#include "lu_step.h"
#include "lu_sync.h"
#include "lu_test.h"
#include "lu_thread.h"
#include "lu_trace.h"

#endif /* LU_H */
