/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Requests to the host of a virtual machine to plug and unplug devices.
 * LIVEUPDATE_TEST_MACHINE is a directory with two FIFOs, "request" and "answer", that the
 * agent of the host keeps open. A request and its answer are one line each.
 */
#ifndef LU_MACHINE_H
#define LU_MACHINE_H

#include "lu_test.h"

static inline int lu_open_fifo(const char *name, int flags)
{
	const char *folder = getenv("LIVEUPDATE_TEST_MACHINE");
	char path[LU_PATH_MAX];
	int fd;

	if (!folder)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Reads a line, without the newline, within LU_ANSWER_SECS. */
static inline int lu_read_answer(int fd, char *line, size_t size)
{
	__u64 deadline = lu_deadline(LU_ANSWER_SECS);
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	char byte;

	while (lu_now_nsecs() < deadline) {
		/* A short timeout, so that the deadline is checked often. */
		poll(&readable, 1, 100);
		while (read(fd, &byte, 1) == 1) {
			line[len] = '\0';
			if (byte == '\n')
				return 0;
			if (len + 1 >= size)
				return -EFBIG;
			line[len++] = byte;
		}
	}
	return -ETIME;
}

/* Discards answers to earlier requests that timed out. */
static inline void lu_drop_answers(int fd)
{
	char dropped[256];

	while (read(fd, dropped, sizeof(dropped)) > 0)
		;
}

/*
 * Requests @verb ("unplug", "surprise" or "plug") for a device. Returns 0 if the host
 * accepted the request, -EREMOTEIO if it refused (the reason is printed), -ETIME without
 * an answer, and -EOPNOTSUPP if LIVEUPDATE_TEST_MACHINE is not set.
 */
static inline int lu_ask_machine(const char *verb, const char *bdf)
{
	char line[256];
	int request, answer, ret;

	answer = lu_open_fifo("answer", O_RDONLY);
	if (answer < 0)
		return answer;
	request = lu_open_fifo("request", O_WRONLY);
	if (request < 0) {
		close(answer);
		return request;
	}
	lu_drop_answers(answer);
	snprintf(line, sizeof(line), "%s %s\n", verb, bdf);
	errno = 0;
	if (write(request, line, strlen(line)) == (ssize_t)strlen(line))
		ret = lu_read_answer(answer, line, sizeof(line));
	else
		ret = errno ? -errno : -EIO;
	close(request);
	close(answer);
	if (ret || !strcmp(line, "ok"))
		return ret;
	ksft_print_msg("%s %s: refused by the host: %s\n", verb, bdf, line);
	return -EREMOTEIO;
}

#endif /* LU_MACHINE_H */
