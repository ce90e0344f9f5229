/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests in this folder have in common: sessions of /dev/liveupdate, PCI
 * devices and their driver "liveupdate-test", files, processes and threads, calls
 * of kernel functions, the kernel log, and faults, holds and races on purpose.
 *
 * Everything returns 0 (or a descriptor, or a count) or a negative errno, prints
 * at most through kselftest's helpers, and leaves judging to the test.
 */
#ifndef LIVEUPDATE_PCI_H
#define LIVEUPDATE_PCI_H

#include "lu_device.h"
#include "lu_driver.h"
#include "lu_fault.h"
#include "lu_file.h"
#include "lu_sync.h"
#include "lu_kexec.h"
#include "lu_leak.h"
#include "lu_log.h"
#include "lu_machine.h"
#include "lu_main.h"
#include "lu_path.h"
#include "lu_process.h"
#include "lu_race.h"
#include "lu_session.h"
#include "lu_setup.h"
#include "lu_step.h"
#include "lu_test.h"
#include "lu_thread.h"
#include "lu_trace.h"

#endif /* LIVEUPDATE_PCI_H */
