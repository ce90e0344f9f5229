/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FAULT_H
#define FAULT_H

/**
 * struct fault - A way to go wrong on purpose.
 * @word: What it is injected by.
 * @inject: Goes wrong, and returns if the kernel still can.
 */
struct fault {
	const char *word;
	void (*inject)(void);
};

/* Each list ends with an entry that has no word. */
extern const struct fault fault_faults[];
extern const struct fault fault_memory[];
extern const struct fault fault_objects[];
extern const struct fault fault_locks[];
extern const struct fault fault_stalls[];
extern const struct fault fault_ends[];

/* Runs @function where no task is interrupted: in a hard interrupt. */
void fault_in_interrupt(void (*function)(void));

#endif /* FAULT_H */
