/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the tests in this directory: live update sessions and the driver
 * "liveupdate-test", and the general helpers.
 */
#ifndef LIVEUPDATE_PCI_H
#define LIVEUPDATE_PCI_H

#include "lu.h"
#include "lu_driver.h"
#include "lu_session.h"

#endif /* LIVEUPDATE_PCI_H */
