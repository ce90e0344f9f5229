/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef INJECT_H
#define INJECT_H

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
extern const struct fault inject_faults[];
extern const struct fault inject_memory[];
extern const struct fault inject_objects[];
extern const struct fault inject_locks[];
extern const struct fault inject_stalls[];
extern const struct fault inject_ends[];

/* Runs @function where no task is interrupted: in a hard interrupt. */
void inject_in_interrupt(void (*function)(void));

#endif /* INJECT_H */
